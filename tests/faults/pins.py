"""Which packages convgraft and its extras need, down to the last, and which versions are pinned."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from campaign import Trial
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).parents[2]
OWN = "convgraft"
LINE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>\d[\w.+!]*)")
Extras = frozenset[str]


@cache
def lines() -> tuple[str, ...]:
    """The lines of constraints.txt that are no comments."""
    told = (REPO / "constraints.txt").read_text().splitlines()
    return tuple(line for line in told if line.strip() and not line.startswith("#"))


@cache
def pinned() -> dict[str, str]:
    """Versions by the normalised name of the package."""
    found = filter(None, map(LINE.fullmatch, lines()))
    return {canonicalize_name(match["name"]): match["version"] for match in found}


@cache
def needed() -> dict[str, tuple[Requirement, ...]]:
    """What asks for each package, on this machine, all extras included.

    A package that is not installed is named and not looked into.
    """
    asked: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, str]] = set()
    coming = [(OWN, extra) for extra in ("", "dev")]
    while coming:
        name, extra = coming.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in _requirements(name, extra):
            child = canonicalize_name(requirement.name)
            asked.setdefault(child, []).append(requirement)
            coming += [(child, more) for more in ("", *requirement.extras)]
    return {name: tuple(found) for name, found in sorted(asked.items()) if name != OWN}


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    """What a package needs because of an extra of it, or, without one, in any case."""
    for requirement in map(Requirement, _told(name)):
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if always if not extra else not always and marker.evaluate({"extra": extra}):  # type: ignore[union-attr]
            yield requirement


@cache
def _told(name: str) -> tuple[str, ...]:
    """A package's requirements as it states them; our own as pyproject.toml does now."""
    if name != OWN:
        try:
            return tuple(requires(name) or ())
        except PackageNotFoundError:
            return ()
    own = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    extras = own["optional-dependencies"].items()
    asked = [f'{text}; extra == "{extra}"' for extra, texts in extras for text in texts]
    return (*own["dependencies"], *asked)


def pin_trials(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Each line pins one version, and each package that is needed has one that all can use."""
    trials = [Trial(f"line {line!r}", _line_wrong(line)) for line in lines()]
    trials += [Trial(f"package {name}", _package_wrong(name)) for name in needed()]
    yield from trials[first:count]


def _line_wrong(line: str) -> str:
    match = LINE.fullmatch(line)
    if match is None:
        return "it is not of the form name==version"
    same = [one for one in lines() if one.lower().startswith(f"{match['name'].lower()}==")]
    return "the package has two lines" if len(same) > 1 else ""


def _package_wrong(name: str) -> str:
    version = pinned().get(name)
    if version is None:
        return "it is needed, and constraints.txt does not pin it"
    unmet = [
        str(one) for one in needed()[name] if not one.specifier.contains(version, prereleases=True)
    ]
    return f"{version} is pinned, and {unmet[0]} asked for" if unmet else ""
