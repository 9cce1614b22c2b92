"""What a run tells of the machine that made it, and the same without it.

A run notes where its images and weights lay. In a folder that leaves the machine, every such place
becomes its last name: `cifar_resnet20@/home/ann/w.safetensors` becomes
`cifar_resnet20@w.safetensors`. Nothing is lost by it: an artifact is loaded from its own files.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convgraft.opening.runs import LIBRARIES, RUN_PREFIX
from convgraft.plan import Plan, SourceRef

UNNAMED = "here"
_SEPARATOR = re.compile(r"[/\\]")
# from /, ~, ./ or ../ on, or from a drive or a \\server on; not within a word, and no https://
_PATH = re.compile(
    r"""(?<![\w./\\~>-])(?:~[\w.-]*|\.{1,2})?/(?![/\s])[^\s"'`<>|,;()\[\]{}]+"""
    r"""|(?<!\w)(?:[A-Za-z]:\\|\\\\)[^\s"'`<>|,;()\[\]{}]+"""
)


@dataclass(frozen=True)
class Places:
    """Places on this machine that a run knows of.

    Attributes:
        names: place, as the run wrote it, to the name that stands for it elsewhere.
        roots: folders of this machine that nothing which leaves it should tell of.
    """

    names: Mapping[str, str]
    roots: tuple[str, ...]

    def in_text(self, text: str) -> str:
        """The text with names instead of places: those that are known, and whatever looks like one.

        >>> Places({"/home/ann/our pets": "our pets"}, ()).in_text("on /home/ann/our pets: 9")
        'on our pets: 9'
        """
        for place in sorted(self.names, key=len, reverse=True):
            whole = rf"(?<![\w./\\-]){re.escape(place)}(?![\w-])"
            text = re.sub(whole, lambda _, name=self.names[place]: name, text)
        return _PATH.sub(lambda match: name_of(match[0]), text)

    def in_data(self, data: Any) -> Any:
        """The same for every text in JSON data, keys too."""
        if isinstance(data, str):
            return self.in_text(data)
        if isinstance(data, Mapping):
            return {self.in_text(key): self.in_data(value) for key, value in data.items()}
        return [self.in_data(item) for item in data] if isinstance(data, list) else data

    def told_by(self, file: Path) -> str | None:
        """A place of this machine that stands in a file all the same; None where there is none."""
        content = file.read_bytes()
        absolute = [place for place in self.names if Path(place).is_absolute()]
        told = [place for place in (*self.roots, *absolute) if os.fsencode(place) in content]
        return told[0] if told else None


def places_of(folder: Path, plan: Plan, metrics: Mapping[str, Any]) -> Places:
    """The places that a run's plan and notes name, and those of this machine itself."""
    known = {place: name_of(place) for place in _named(plan, metrics) if _SEPARATOR.search(place)}
    own = [folder.resolve().parent, Path.cwd(), Path(sys.prefix)]
    with suppress(RuntimeError):  # not every process has a home
        own.append(Path.home())
    above = [Path(place).parent for place in known if Path(place).is_absolute()]
    own += [path for path in above if len(path.parts) > 2]
    roots = {f"{path}{os.sep}" for path in own if len(path.parts) > 1}
    return Places({place: name for place, name in known.items() if name != place}, tuple(roots))


def name_of(place: str) -> str:
    """The last name of a place; of `RUN#SOURCE`, the source stays.

    >>> name_of("../weights/a.safetensors"), name_of("/home/ann/runs/one#b"), name_of("..")
    ('a.safetensors', 'one#b', 'here')
    """
    location, mark, inner = place.partition("#")
    parts = [part for part in _SEPARATOR.split(location) if part not in ("", ".", "..")]
    last = parts[-1] if parts and not parts[-1].startswith("~") else UNNAMED
    return f"{last}{mark}{inner}"


def _named(plan: Plan, metrics: Mapping[str, Any]) -> Iterator[str]:
    for _, ref in plan.all_sources():
        yield from _places_in(ref.network, nested=ref.plan is not None)
    data, members = metrics.get("data"), metrics.get("members")
    if isinstance(data, Mapping) and isinstance(data.get("location"), str):
        yield data["location"]
    for spec in members.values() if isinstance(members, Mapping) else ():
        is_run = isinstance(spec, str) and "@" not in spec and not spec.startswith(LIBRARIES)
        yield from _places_in(str(spec), nested=is_run)


def _places_in(network: str, *, nested: bool) -> Iterable[str]:
    place = network.removeprefix(RUN_PREFIX) if nested else network.partition("@")[2]
    return (place,) if place else ()


def portable_plan(plan: Plan) -> Plan:
    """The plan with names instead of places, at every depth; it compiles to the same network."""
    return replace(plan, sources=tuple(map(_portable_source, plan.sources)))


def _portable_source(ref: SourceRef) -> SourceRef:
    inner = portable_plan(ref.plan) if ref.plan is not None else None
    return replace(ref, network=portable_network(ref.network, nested=inner is not None), plan=inner)


def portable_network(network: str, *, nested: bool = False) -> str:
    """`ARCH[@WEIGHTS]`, or the folder of a run, with names instead of places.

    >>> portable_network("torchvision/resnet18@../w.pth"), portable_network("a/b", nested=True)
    ('torchvision/resnet18@w.pth', 'b')
    """
    if nested:
        return name_of(network.removeprefix(RUN_PREFIX))
    architecture, at, weights = network.partition("@")
    return f"{architecture}{at}{name_of(weights) if at else ''}"
