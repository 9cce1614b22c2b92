"""Freeze policies as files.

A policy maps selections to `frozen` or to a share of the learning rate; a later rule overrules an
earlier one:

    "**": 0.1                        # every source, at a tenth of the rate
    "a:layer1*": frozen
    heads: {rate: 1, weight_decay: 0}
    "b:**": {rate: 0.5, depth_decay: 0.8, statistics: frozen}

With `depth_decay: d` a part learns at rate * d ** (12 (1 - depth)): depth is its share of the
network's MACs, so the last layers learn fastest. `statistics: frozen` keeps batch norm's running
statistics, and normalises by them, while its weights learn.

Phases follow each other, each with its own rules and, where it says so, its own epochs, learning
rate, weight decay, optimiser and schedule:

    phases:
      - {name: probe, epochs: 5, lr: 0.002, freeze: {"**": frozen, heads: 1}}
      - {name: finetune, optimizer: sgd, schedule: one-cycle, freeze: {"**": 0.1}}
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from convgraft.errors import UsageError, near_miss
from convgraft.plan.located import Located, read_yaml
from convgraft.plan.plain_yaml import is_file, read_text
from convgraft.plan.shown import shown
from convgraft.sources import parse_selection
from convgraft.training.options import OPTIMISERS, SCHEDULES
from convgraft.training.policies import PRESETS, FreezePolicy, Phase, Rule

FROZEN = "frozen"


def read_policy(name: str) -> FreezePolicy:
    """A preset by name, or a policy file; raises UsageError or PlanError (with line and column)."""
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if not is_file(path):
        raise UsageError(
            f'there is no freeze policy called "{shown(name)}"',
            expected=f"{', '.join(PRESETS)}, or a YAML file",
            hint=near_miss(shown(name), PRESETS),
        )
    reader = Located(path.name)
    node = read_yaml(read_text(path, f'the freeze policy "{path}"'), path.name)
    entries = reader.entries(node)
    if set(entries) == {"phases"}:
        key, value = entries["phases"]
        items = reader.items(value)
        if not items:
            reader.complain(key, "a policy has one phase or more")
        phases = tuple(_read_phase(reader, item, number) for number, item in enumerate(items, 1))
    else:
        phases = (Phase(path.name, _read_rules(reader, node)),)
    reader.finish()
    return FreezePolicy(path.name, phases)


def _read_phase(reader: Located, node: yaml.Node, number: int) -> Phase:
    known = ("name", "freeze", "epochs", "lr", "weight_decay", "optimizer", "schedule")
    fields = reader.fields(node, known, required=("freeze",))
    return Phase(
        name=reader.scalar(fields.get("name"), str, "a name", f"phase {number}"),
        rules=_read_rules(reader, fields["freeze"]) if "freeze" in fields else (),
        epochs=reader.scalar(fields.get("epochs"), _read_epochs, "a number of epochs", None),
        lr=reader.scalar(fields.get("lr"), _read_share, "a learning rate", None),
        weight_decay=reader.scalar(fields.get("weight_decay"), _read_share, "a number", None),
        optimiser=reader.scalar(
            fields.get("optimizer"), _one_of(OPTIMISERS), " or ".join(OPTIMISERS), None
        ),
        schedule=reader.scalar(
            fields.get("schedule"), _one_of(SCHEDULES), " or ".join(SCHEDULES), None
        ),
    )


def _read_rules(reader: Located, node: yaml.Node) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for selection, (key, value) in reader.entries(node).items():
        try:
            parse_selection(selection)
        except UsageError as error:
            reader.complain(key, error.what, expected=error.expected, hint=error.hint)
        rules.append(_read_rule(reader, selection, value))
    return tuple(rules)


def _read_rule(reader: Located, selection: str, node: yaml.Node) -> Rule:
    wanted = "frozen, or a share of the learning rate"
    if isinstance(node, yaml.ScalarNode):
        return Rule(selection, reader.scalar(node, _read_rate, wanted, 1.0))
    known = ("rate", "weight_decay", "depth_decay", "statistics")
    fields = reader.fields(node, known)
    return Rule(
        selection,
        reader.scalar(fields.get("rate"), _read_rate, wanted, 1.0),
        reader.scalar(fields.get("weight_decay"), _read_share, "a share of the weight decay", 1.0),
        reader.scalar(fields.get("depth_decay"), _read_decay, "a factor from 0 to 1", 1.0),
        reader.scalar(fields.get("statistics"), _read_statistics, "frozen or moving", True),
    )


def _read_rate(text: str) -> float:
    return 0.0 if text == FROZEN else _read_share(text)


def _read_share(text: str) -> float:
    share = float(text)
    if not 0 <= share < float("inf"):
        raise ValueError(text)
    return share


def _read_decay(text: str) -> float:
    factor = float(text)
    if not 0 < factor <= 1:
        raise ValueError(text)
    return factor


def _read_epochs(text: str) -> int:
    epochs = int(text)
    if epochs < 1:
        raise ValueError(text)
    return epochs


def _read_statistics(text: str) -> bool:
    if text not in (FROZEN, "moving"):
        raise ValueError(text)
    return text == "moving"


def _one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in known:
            raise ValueError(text)
        return text

    return read
