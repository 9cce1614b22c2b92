"""Whether a folder is an artifact that is safe to put in place; nothing in it is run or unpickled.

Looked at are the files of an artifact alone. Others that lie beside them are never opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from convgraft.errors import ArtifactError, SourceError
from convgraft.export.contents import read_labels, read_notes, read_object
from convgraft.opening.runs import RUN_FILES
from convgraft.plan import Plan, read_plan
from convgraft.sources.spec import parse_spec

WEIGHTS, PLAN, LABELS, METRICS = RUN_FILES
README, CONFIG, SPLIT, ATTRIBUTES = "README.md", "config.json", "split.csv", ".gitattributes"
ONNX = ("model.onnx", "model-int8.onnx")
HUB_FILES = (README, *RUN_FILES, CONFIG, *ONNX, SPLIT, ATTRIBUTES)
LIMITS: Mapping[str, int] = {  # bytes; what is larger is no such file
    README: 16_000_000,
    PLAN: 1_000_000,
    LABELS: 64_000_000,
    METRICS: 256_000_000,
    CONFIG: 64_000_000,
    SPLIT: 1_000_000_000,
}
_OWN_KERNELS = re.compile(r"(?:^|\+)kernels:")


def check_artifact(folder: Path, *, within: Path | None = None) -> Plan:
    """The plan of an artifact whose files belong together; raises ArtifactError where they do not.

    Args:
        within: where links may lead; anywhere when not given. Needed for folders of strangers.
    """
    if not folder.is_dir():
        raise ArtifactError(f'there is no run at "{folder}"', expected=f"a folder with {WEIGHTS}")
    missing = [name for name in RUN_FILES if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(
            f'"{folder}" is not a finished run',
            expected=", ".join(RUN_FILES),
            found=f"no {', no '.join(missing)}",
        )
    for name in HUB_FILES:
        _check_file(folder / name, within)
    plan = read_plan(folder / PLAN)
    check_sources(plan, folder)
    _check_labels(folder / LABELS, plan)
    read_object(folder / METRICS)
    _check_metadata(folder, plan)
    return plan


def _check_metadata(folder: Path, plan: Plan) -> None:
    """What the weights say of themselves: of which plan they are, and what is held there."""
    noted = weights_metadata(folder / WEIGHTS)
    if noted.get("convgraft_plan") != plan.hash:
        raise ArtifactError(
            f'"{folder}": {PLAN} and {WEIGHTS} do not belong together',
            expected=f"plan hash {noted.get('convgraft_plan')}",
            found=plan.hash,
        )
    read_notes(noted, folder / WEIGHTS)


def _check_file(file: Path, within: Path | None) -> None:
    if not (file.exists() or file.is_symlink()):
        return
    if within is not None and not file.resolve().is_relative_to(within.resolve()):
        raise ArtifactError(f'"{file}" is a link that leads out of its folder')
    if not file.is_file():
        raise ArtifactError(f'"{file}" is not a file')
    check_size(file.name, file.stat().st_size)


def check_size(name: str, size: int) -> None:
    """Raise ArtifactError where a file is larger than one of that name can be."""
    if size > LIMITS.get(name, size):
        raise ArtifactError(
            f"{name} is too large for what it should be",
            expected=f"<= {LIMITS[name]:,} bytes",
            found=f"{size:,}",
        )


def check_sources(plan: Plan, folder: Path) -> None:
    """Refuse a plan that needs files which are not in the artifact."""
    for path, ref in plan.all_sources():
        if ref.plan is not None or ref.network.startswith("module:"):
            continue
        try:
            spec = parse_spec(ref.network)
        except SourceError as error:
            raise ArtifactError(
                f'"{folder}": source "{path}" names no network', found=ref.network
            ) from error
        if spec.library == "filters" and _OWN_KERNELS.search(spec.name):
            raise ArtifactError(
                f'"{folder}": source "{path}" reads its kernels from a file of one machine',
                found=ref.network,
                hint="kernels by name (filters/sobel), or a factory: python:package.module:factory",
            )


def _check_labels(file: Path, plan: Plan) -> None:
    """As far as the plan alone tells; `load` looks at the network itself."""
    labels = read_labels(file)
    answered = {plan.column(name) for name in plan.answers}
    if unknown := [name for name in labels.columns if name not in answered]:
        raise ArtifactError(f'"{file}" has a label column that no answer is about: {unknown[0]}')
    parts = (*plan.heads, *plan.sources)
    wanted = next((part.classes for part in parts if part.name == plan.answer), None)
    if wanted is not None and wanted != len(labels.classes):
        raise ArtifactError(
            f'"{file}" is not of this network',
            expected=f"{wanted} classes",
            found=str(len(labels.classes)),
        )


def weights_metadata(file: Path) -> dict[str, str]:
    """What a weights file says of itself; raises ArtifactError where it is not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f'"{file}" cannot be read', found=str(error)) from error
