"""Plans as YAML files, with errors that name line and column.

image_size: 32
sources:
  a: cifar_resnet20@w.safetensors
  b: {network: cifar_resnet56, classes: 10}
  c: {network: runs/x, plan: {image_size: 32, sources: {a: cifar_resnet20}}}
wires:
  - {from: a:layer1, to: b:layer1, join: add, adapter: identity, start: zero}
heads:
  label: {kind: linear, from: [a:flatten, b:flatten], classes: 8}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from convgraft.plan.located import Located, is_null, read_yaml, write_yaml
from convgraft.plan.plain_yaml import read_text
from convgraft.plan.reading import count, finite, kind, word
from convgraft.plan.values import Head, Plan, SourceRef, TapRef, Wire

FORMAT = 1
REQUIRED = ("image_size", "sources")


def plan_to_yaml(plan: Plan) -> str:
    """The plan as YAML; what has its default value is left out."""
    return write_yaml({"convgraft": FORMAT, **_plan_data(plan)})


def _plan_data(plan: Plan) -> dict[str, Any]:
    data = {
        "image_size": plan.image_size,
        "sources": {ref.name: _source_data(ref) for ref in plan.sources},
        "wires": [_wire_data(wire) for wire in plan.wires],
        "heads": {head.name: _head_data(head) for head in plan.heads},
    }
    return {key: value for key, value in data.items() if value or key in REQUIRED}


def _source_data(ref: SourceRef) -> Any:
    options = {"classes": ref.classes, "mean": ref.mean, "std": ref.std, "size": ref.size}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if ref.plan is not None:
        given["plan"] = _plan_data(ref.plan)
    return {"network": ref.network, **given} if given else ref.network


def _wire_data(wire: Wire) -> dict[str, Any]:
    inputs = [str(tap) for tap in wire.inputs]
    return {
        "from": inputs[0] if len(inputs) == 1 else inputs,
        "to": str(wire.target),
        "join": wire.join,
        "adapter": wire.adapter,
        "start": wire.start,
    }


def _head_data(head: Head) -> dict[str, Any]:
    data = {
        "kind": head.kind,
        "from": [str(tap) for tap in head.inputs],
        "classes": head.classes,
        "hidden": head.hidden,
        "dropout": head.dropout,
        "fusion": head.fusion if head.fusion != "concat" else "",
        "column": head.column,
    }
    return {key: value for key, value in data.items() if value or key == "from"}


def read_plan(path: str | Path) -> Plan:
    """The plan in a YAML file; raises PlanError, or UsageError where the file cannot be read."""
    path = Path(path)
    return plan_from_yaml(read_text(path, f'the plan "{path}"'), name=path.name)


def plan_from_yaml(text: str, *, name: str = "plan") -> Plan:
    """Read a plan; raises PlanError with every problem, each with `name:line:column`."""
    reader = Located(name)
    plan = _read_plan(reader, read_yaml(text, name))
    reader.finish()
    return plan


def _read_plan(reader: Located, node: yaml.Node) -> Plan:
    """A whole plan, or one within another."""
    known = ("convgraft", "image_size", "sources", "wires", "heads")
    fields = reader.fields(node, known, required=REQUIRED)
    version = reader.scalar(fields.get("convgraft"), int, "the format's number", FORMAT)
    if version != FORMAT:
        reader.complain(fields["convgraft"], f"plans of format {version} are not known here")
    return Plan(
        reader.scalar(fields.get("image_size"), count, "a number of pixels", 0),
        _read_sources(reader, fields.get("sources")),
        _read_wires(reader, fields.get("wires")),
        _read_heads(reader, fields.get("heads")),
    )


def _read_sources(reader: Located, node: yaml.Node | None) -> tuple[SourceRef, ...]:
    return tuple(_read_source(reader, name, value) for name, value in _named(reader, node))


def _named(reader: Located, node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    """The entries of a mapping whose keys are names."""
    entries = reader.entries(node) if node is not None and not is_null(node) else {}
    for name, (key, value) in entries.items():
        if any(character.isspace() for character in name):
            reader.complain(key, f'"{name}" is no name', expected="a word without spaces")
        yield name, value


def _read_source(reader: Located, name: str, node: yaml.Node) -> SourceRef:
    if isinstance(node, yaml.ScalarNode):
        if is_null(node):
            reader.complain(node, "ARCH[@WEIGHTS] is expected here", found="nothing")
        return SourceRef(name, str(node.value))
    known = ("network", "classes", "mean", "std", "size", "plan")
    fields = reader.fields(node, known, required=("network",))
    return SourceRef(
        name,
        reader.scalar(fields.get("network"), str, "ARCH[@WEIGHTS]", ""),
        reader.scalar(fields.get("classes"), count, "a number of classes", None),
        reader.numbers(fields.get("mean"), finite, "a number") or None,
        reader.numbers(fields.get("std"), finite, "a number") or None,
        reader.scalar(fields.get("size"), count, "a number of pixels", None),
        _read_plan(reader, fields["plan"]) if "plan" in fields else None,
    )


def _read_wires(reader: Located, node: yaml.Node | None) -> tuple[Wire, ...]:
    items = reader.items(node) if node is not None and not is_null(node) else []
    return tuple(_read_wire(reader, item) for item in items)


def _read_wire(reader: Located, node: yaml.Node) -> Wire:
    known = ("from", "to", "join", "adapter", "start")
    fields = reader.fields(node, known, required=("from", "to"))
    nowhere = TapRef("", "")
    begins = fields.get("from")
    if isinstance(begins, yaml.SequenceNode) and not begins.value:
        reader.complain(begins, "a wire begins at one tap or more", found="none")
    return Wire(
        reader.numbers(begins, TapRef.parse, "SOURCE:TAP"),
        reader.scalar(fields.get("to"), TapRef.parse, "SOURCE:TAP", nowhere),
        **{
            key: reader.scalar(fields.get(key), word, "a word", default)
            for key, default in (("join", "add"), ("adapter", "conv1x1"), ("start", "zero"))
        },
    )


def _read_heads(reader: Located, node: yaml.Node | None) -> tuple[Head, ...]:
    return tuple(_read_head(reader, name, value) for name, value in _named(reader, node))


def _read_head(reader: Located, name: str, node: yaml.Node) -> Head:
    known = ("kind", "from", "classes", "hidden", "dropout", "fusion", "column")
    fields = reader.fields(node, known, required=("kind", "from"))
    return Head(
        name,
        reader.scalar(fields.get("kind"), kind, "a kind of head", ""),
        reader.numbers(fields.get("from"), TapRef.parse, "SOURCE:TAP"),
        reader.scalar(fields.get("classes"), count, "a number of classes", None),
        reader.numbers(fields.get("hidden"), count, "a width"),
        reader.scalar(fields.get("dropout"), finite, "a share", 0.0),
        reader.scalar(fields.get("fusion"), word, "a way to fuse", "concat"),
        reader.scalar(fields.get("column"), str, "a label column", ""),
    )
