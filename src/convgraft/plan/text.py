"""The text form of a plan: one line per thing, for people to read. `parse_plan(str(p)) == p`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from convgraft.errors import PlanError, Problem
from convgraft.plan.plain_yaml import MAX_BYTES, MAX_PROBLEMS, NO_TEXT
from convgraft.plan.reading import finite, word
from convgraft.plan.shown import shown
from convgraft.plan.values import Head, Plan, SourceRef, TapRef, Wire

_QUOTED = r'"(?:[^"\\]|\\.)*"'  # as JSON writes text
_OPTION = rf' ([^\s=]+)=({_QUOTED}|[^\s"]\S*)'
_OPTIONS = rf'((?: [^\s=]+=(?:{_QUOTED}|[^\s"]\S*))*)'
_IMAGE = re.compile(r"image (\d+)")
_SOURCE = re.compile(rf"source (\S+) = ({_QUOTED}|\S+){_OPTIONS}")
_WIRE = re.compile(rf"wire (.+?) -> (\S+){_OPTIONS}")
_HEAD = re.compile(rf"head (\S+) = (\w+)\(([^()]*)\){_OPTIONS}")


def _unquoted(text: str) -> str:
    said = json.loads(text) if text.startswith('"') else text
    if NO_TEXT.search(said):
        raise ValueError(f"{said!a} is no text")
    return said


def parse_plan(text: str, *, name: str = "the plan") -> Plan:
    """Read a plan's text form; raises PlanError with every line that cannot be read.

    Empty lines and lines that begin with # are ignored.
    """
    if len(text) > MAX_BYTES:
        raise PlanError([Problem(name, "this is too large for a plan", f"<= {MAX_BYTES} bytes")])
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
            problems.append(Problem(f"{name}:{number}", shown(str(error)), found=shown(stripped)))
        except PlanError as error:  # of a plan within the plan
            inner = (replace(p, where=f"{name}:{number}: {p.where}") for p in error.problems)
            problems.extend(inner)
        if len(problems) >= MAX_PROBLEMS:
            raise PlanError(problems, name=name)
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
    for key, value in re.findall(_OPTION, text):
        if key not in readers:
            raise ValueError(f'"{key}" is not one of {", ".join(readers)}')
        if key in options:
            raise ValueError(f'"{key}" stands here twice')
        options[key] = readers[key](_unquoted(value))
    return options


def _floats(text: str) -> tuple[float, ...]:
    return tuple(map(finite, text.split(",")))


def _ints(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _nested(text: str) -> Plan:
    return parse_plan(text, name="plan")


_SOURCE_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "classes": int,
    "mean": _floats,
    "std": _floats,
    "size": int,
    "plan": _nested,
}
_WIRE_OPTIONS = {"join": word, "adapter": word, "start": word}
_HEAD_OPTIONS = {
    "classes": int,
    "hidden": _ints,
    "dropout": finite,
    "fusion": word,
    "column": str,
}
_PARSERS: Mapping[str, tuple[re.Pattern[str], Callable[..., Any]]] = {
    "image": (_IMAGE, int),
    "source": (_SOURCE, _parse_source),
    "wire": (_WIRE, _parse_wire),
    "head": (_HEAD, _parse_head),
}
