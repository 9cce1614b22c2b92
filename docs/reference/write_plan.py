"""Writes `plan.md` beside it: every key of a plan file and every kind of part, from the code.

python docs/reference/write_plan.py            write the page
python docs/reference/write_plan.py --check    write nothing; exit 1 where the page would change
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pages import write_or_check

from convgraft.layers import ADAPTERS, FUSIONS, HEADS, JOINS
from convgraft.plan import Head, Plan, SourceRef, Wire
from convgraft.plan.yaml_form import FORMAT

OUT = Path(__file__).with_name("plan.md")
PARTS = {"sources": SourceRef, "wires": Wire, "heads": Head}
KEYS = {"inputs": "from", "target": "to"}  # what a field is called in a file
KEYED = ("sources", "heads")  # their names are the keys that they stand under
START = f"""# Plan files

What a plan file may hold: every key, from the values that it is read into, and every kind of part,
from the tables that the compiler uses. `python docs/reference/write_plan.py` writes this page, and
a test holds that it is current. [The guide](../guide.md#writing-a-plan) tells how a plan is
written; this is format {FORMAT}.

```yaml
image_size: 32
sources:
  a: cifar_resnet20
  b: {{network: cifar_resnet32, classes: 10}}
wires:
  - {{from: a:layer1, to: b:layer1, join: add, adapter: conv1x1, start: zero}}
heads:
  label: {{kind: linear, from: [a:features, b:features], classes: 10}}
```

All problems of a file are told together, each with its line and column, before anything is loaded.
"""


def page() -> str:
    """The whole page."""
    parts = [START, "## The file", "", *_table(_file_rows()), ""]
    for key, kind in PARTS.items():
        named = " Each stands under its name." if key in KEYED else " A list."
        parts += [f"## {key}", "", _first_line(kind) + named, "", *_table(_rows(key, kind)), ""]
    return "\n".join([*parts, *_kinds()])


def keys(part: str) -> list[str]:
    """The keys that a part of a plan may have in a file, such as `from` of `wires`."""
    if part == "file":
        return ["convgraft", *(field.name for field in dataclasses.fields(Plan))]
    return [key for key, _ in _fields(part, PARTS[part])]


def _fields(part: str, kind: type) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for field in dataclasses.fields(kind):
        if field.name != "name" or part not in KEYED:
            yield KEYS.get(field.name, field.name), field


def _file_rows() -> Iterator[tuple[str, ...]]:
    told = {"sources": "what is combined", "wires": "how", "heads": "what answers", **_told(Plan)}
    yield "convgraft", f"the format's number, {FORMAT}", f"`{FORMAT}`"
    for field in dataclasses.fields(Plan):
        yield field.name, told[field.name], _default(field)


def _rows(part: str, kind: type) -> Iterator[tuple[str, ...]]:
    told = _told(kind)
    for key, field in _fields(part, kind):
        yield key, told.get(field.name, ""), _default(field)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "(needed)"
    return f"`{field.default}`" if field.default not in (None, (), "") else ""


def _told(kind: type) -> dict[str, str]:
    """What the docstring says of each attribute; `mean, std: ...` is about both."""
    told: dict[str, str] = {}
    names: list[str] = []
    for line in (kind.__doc__ or "").partition("Attributes:")[2].splitlines():
        before, colon, after = line.strip().partition(": ")
        if line.startswith(" " * 8) and not line.startswith(" " * 9) and colon:
            names = before.split(", ")
            told |= dict.fromkeys(names, after)
        elif line.strip():
            told |= {name: f"{told[name]} {line.strip()}" for name in names}
    return told


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| key | is | default |"
    yield "|---|---|---|"
    for key, told, default in rows:
        yield f"| `{key}` | {told} | {default} |"


def _kinds() -> Iterator[str]:
    """The names that `join`, `adapter`, `kind` and `fusion` may have."""
    yield from ("## Kinds", "", "| `join` | several taps may arrive | `start` |", "|---|---|---|")
    for name, join in JOINS.items():
        yield f"| `{name}` | {_yes(join.many)} | {', '.join(join.starts)} |"
    yield from (
        "",
        "| `adapter` | changes channels | solved by least squares |",
        "|---|---|---|",
    )
    for name, adapter in ADAPTERS.items():
        yield f"| `{name}` | {_yes(adapter.changes_channels)} | {_yes(adapter.solved)} |"
    yield from (
        "",
        "| `kind` | takes | several | learns | fitted |",
        "|---|---|---|---|---|",
    )
    for name, head in HEADS.items():
        facts = f"{_yes(head.many)} | {_yes(head.learns)} | {_yes(head.fitted)}"
        yield f"| `{name}` | {head.takes} | {facts} |"
    yield from ("", "| `fusion` | needs branches |", "|---|--:|")
    for name, fusion in FUSIONS.items():
        yield f"| `{name}` | {fusion.least} |"
    yield ""


def _yes(fact: bool) -> str:
    return "yes" if fact else ""


if __name__ == "__main__":
    raise SystemExit(write_or_check({OUT: page()}))
