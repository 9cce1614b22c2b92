"""The text form of a plan: one line per thing, for people to read. `parse_plan(str(p)) == p`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from convgraft.errors import PlanError, Problem
from convgraft.plan.values import Head, Plan, SourceRef, TapRef, Wire

_IMAGE = re.compile(r"image (\d+)")
_SOURCE = re.compile(r'source (\S+) = ("(?:[^"\\]|\\.)*"|\S+)((?: \S+=\S+)*)')
_WIRE = re.compile(r"wire (.+?) -> (\S+)((?: \S+=\S+)*)")
_HEAD = re.compile(r"head (\S+) = (\w+)\((.*?)\)((?: \S+=\S+)*)")


def _unquoted(text: str) -> str:
    return json.loads(text) if text.startswith('"') else text


def parse_plan(text: str, *, name: str = "the plan") -> Plan:
    """Read a plan's text form; raises PlanError with every line that cannot be read.

    Empty lines and lines that begin with # are ignored.
    """
    parts: dict[str, list[Any]] = {"image": [], "source": [], "wire": [], "head": []}
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            kind, value = _parse_line(stripped)
            parts[kind].append(value)
        except ValueError as error:
            problems.append(Problem(f"{name}:{number}", str(error), found=stripped))
    if len(parts["image"]) != 1:
        problems.append(Problem(name, "a plan has one line with its image size", "image 224"))
    if problems:
        raise PlanError(problems, name=name)
    sources, wires, heads = (tuple(parts[kind]) for kind in ("source", "wire", "head"))
    return Plan(parts["image"][0], sources, wires, heads)


def _parse_line(line: str) -> tuple[str, Any]:
    kind = line.split(" ", 1)[0]
    if kind not in _PARSERS:
        raise ValueError("a line begins with image, source, wire or head")
    pattern, build = _PARSERS[kind]
    match = pattern.fullmatch(line)
    if match is None:
        raise ValueError(f"this is not how a {kind} is written")
    return kind, build(*match.groups())


def _parse_source(name: str, network: str, options: str) -> SourceRef:
    return SourceRef(name, _unquoted(network), **_parse_options(options, _SOURCE_OPTIONS))


def _parse_wire(inputs: str, target: str, options: str) -> Wire:
    taps = tuple(TapRef.parse(tap) for tap in inputs.split(","))
    return Wire(taps, TapRef.parse(target), **_parse_options(options, _WIRE_OPTIONS))


def _parse_head(name: str, kind: str, inputs: str, options: str) -> Head:
    taps = tuple(TapRef.parse(tap) for tap in inputs.split(",")) if inputs.strip() else ()
    return Head(name, kind, taps, **_parse_options(options, _HEAD_OPTIONS))


def _parse_options(text: str, readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option in text.split():
        key, _, value = option.partition("=")
        if key not in readers:
            raise ValueError(f'"{key}" is not one of {", ".join(readers)}')
        options[key] = readers[key](value)
    return options


def _floats(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))


def _ints(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


_SOURCE_OPTIONS = {"classes": int, "mean": _floats, "std": _floats, "size": int}
_WIRE_OPTIONS = {"join": str, "adapter": str, "start": str}
_HEAD_OPTIONS = {
    "classes": int, "hidden": _ints, "dropout": float,
    "fusion": str, "column": str,
}
_PARSERS: Mapping[str, tuple[re.Pattern[str], Callable[..., Any]]] = {
    "image": (_IMAGE, int),
    "source": (_SOURCE, _parse_source),
    "wire": (_WIRE, _parse_wire),
    "head": (_HEAD, _parse_head),
}
