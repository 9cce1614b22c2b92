"""What a run that may be a stranger's can ask for: networks of known names, no code, usual sizes.

All of it is looked at before anything is built, so that a plan of one line cannot fill the memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from convgraft.errors import ArtifactError, SourceError
from convgraft.opening.runs import RUN_PLAN
from convgraft.plan import Plan, SourceRef
from convgraft.plan.shown import shown
from convgraft.sources.spec import parse_spec
from convgraft.sources.weights import MAX_CLASSES

MAX_SIDE = 8_192  # pixels
LONGEST = 4_096  # letters of a network's name, which may be taken for that of a file
LONGEST_PART = 255  # bytes between two slashes, as file systems have it
MAX_PARTS = 1_000  # sources, wires and heads, each
SIZE_LIMITS: Mapping[str, int] = {  # bytes; what is larger is no such file
    "plan.yaml": 1_000_000,
    "labels.json": 64_000_000,
    "metrics.json": 256_000_000,
    "SHA256SUMS": 100_000,
}
_OWN = "the networks that it was made of, each by its name"


def check_size(file: Path, limits: Mapping[str, int] = SIZE_LIMITS) -> None:
    """Raise ArtifactError where a file that is there is none, or larger than it can be."""
    if not (file.exists() or file.is_symlink()):
        return
    if not file.is_file():  # a device, which has no end, a pipe, a link to itself
        raise ArtifactError(f'"{file}" is not a file', hint="a whole copy of the run")
    size = file.stat().st_size
    if size > limits.get(file.name, size):
        raise ArtifactError(
            f'"{file}" is too large for what it should be',
            expected=f"<= {limits[file.name]:,} bytes",
            found=f"{size:,}",
            hint="a whole copy of the run",
        )


def check_asked(
    plan: Plan, folder: Path, *, given: Collection[str] = (), trust_python: bool = False
) -> None:
    """Raise ArtifactError where a plan asks for what a run has no business with.

    Sources of runs within the run, `x.a`, are looked at too; those can only be named.

    Args:
        plan: of the run in `folder`.
        given: names of sources whose modules the caller brings.
        trust_python: whether `python:` sources may be imported.
    """
    _check_amounts(plan, folder)
    for path, ref in plan.all_sources():
        own = "." not in path
        if ref.plan is not None:
            _check_amounts(ref.plan, folder)
        elif not (own and path in given):
            _check_source(path, ref, folder, trust_python)


def _check_source(path: str, ref: SourceRef, folder: Path, trust_python: bool) -> None:
    """Refuse code that the user did not name, other folders, and modules that no name can find."""
    named = shown(ref.network)
    path = shown(path)
    if ref.network.strip().startswith("module:"):
        own = f'convgraft.load(folder, modules={{"{path}": module}})'
        raise ArtifactError(
            f'"{folder}": source "{path}" was made from an nn.Module in Python ({named})',
            hint=own if "." not in path else "a factory: python:package.module:factory",
        )
    library = _library(ref.network)
    if library is None:
        raise ArtifactError(
            f'"{folder}": source "{path}" names no network', expected=_OWN, found=named
        )
    if library == "python" and not trust_python:
        raise ArtifactError(
            f'"{folder}" wants to run Python code: source "{path}" is {named}',
            hint="--trust-python, or load(folder, trust_python=True), if you trust it",
        )
    if (Path(ref.network.partition("#")[0].strip()) / RUN_PLAN).is_file():
        raise ArtifactError(
            f'"{folder}": source "{path}" would be read from another run',
            expected=_OWN,
            found=f'a folder called "{named}"',
            hint="the same from another working folder, where none has this name",
        )


def _library(network: str) -> str | None:
    """The library that a network is of; None where the text names none."""
    parts = network.encode("utf-8", "replace").split(b"/")
    if len(network) > LONGEST or max(map(len, parts)) > LONGEST_PART:
        return None
    try:
        return parse_spec(network).library
    except SourceError:
        return None


def _check_amounts(plan: Plan, folder: Path) -> None:
    """The numbers of a plan, before they become memory."""
    parts = (*plan.sources, *plan.heads)
    sides = [plan.image_size, *(ref.size for ref in plan.sources if ref.size is not None)]
    widths = [part.classes for part in parts if part.classes is not None]
    widths += [width for head in plan.heads for width in head.hidden]
    counts = [len(plan.sources), len(plan.wires), len(plan.heads)]
    counts += [len(head.hidden) for head in plan.heads]
    for what, found, most in (
        ("images with a side", sides, MAX_SIDE),
        ("classes or widths", widths, MAX_CLASSES),
    ):
        if outside := [number for number in found if not 1 <= number <= most]:
            raise ArtifactError(
                f'the plan of "{folder}" asks for {what} of {outside[0]}',
                expected=f"1 to {most:,}",
                hint="a whole copy of the run",
            )
    if max(counts) > MAX_PARTS:
        raise ArtifactError(
            f'the plan of "{folder}" has too many parts',
            expected=f"<= {MAX_PARTS:,} sources, wires, heads and layers of a head",
            found=f"{max(counts):,}",
        )
