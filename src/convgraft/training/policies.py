"""Freeze policies as values: which parts learn, how fast, and in which phases.

A policy is one phase or several; a phase maps selections to rates. A later rule overrules an
earlier one. `convgraft.training.policy_file` has the form that people write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from convgraft.sources import Place, Selection, parse_selection
from convgraft.sources.select import ADDED_PARTS
from convgraft.training.options import FitOptions

DECAY_STEPS = 12  # layers that `depth_decay` counts from the bottom of a network to its top


@dataclass(frozen=True)
class Rule:
    """What holds for the places that a selection covers.

    Attributes:
        rate: share of the learning rate; 0 is frozen.
        weight_decay: share of the weight decay.
        depth_decay: factor on the rate per twelfth of the way down from the top.
        statistics: whether batch norm's statistics move.
    """

    selection: str
    rate: float = 1.0
    weight_decay: float = 1.0
    depth_decay: float = 1.0
    statistics: bool = True

    def rate_at(self, place: Place) -> float:
        """The share of the learning rate at a place that this rule covers."""
        above = 0.0 if place.depth is None else 1 - place.depth
        return self.rate * self.depth_decay ** (DECAY_STEPS * above)


@dataclass(frozen=True)
class Phase:
    """A stretch of training under one set of rules.

    Attributes:
        epochs: None: a fair part of the fit's.
        lr, weight_decay, optimiser, schedule: None: the fit's.
    """

    name: str
    rules: tuple[Rule, ...]
    epochs: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    optimiser: str | None = None
    schedule: str | None = None

    @cached_property
    def _selections(self) -> tuple[tuple[Selection, Rule], ...]:
        return tuple((parse_selection(rule.selection), rule) for rule in self.rules)

    def rule(self, place: Place) -> Rule:
        """The last rule that covers a place; a plain one where none does."""
        found = [rule for selection, rule in self._selections if selection.covers(place)]
        return found[-1] if found else Rule("**")

    def idle_rules(self, places: list[Place]) -> list[str]:
        """Selections that cover none of these places; a plan may do without `adapters` or so."""
        return [
            str(selection)
            for selection, _ in self._selections
            if str(selection) not in ADDED_PARTS
            and not any(selection.covers(place) for place in places)
        ]

    def options(self, given: FitOptions, epochs: int) -> FitOptions:
        """The fit's options, with what this phase says otherwise."""
        named = ("lr", "weight_decay", "optimiser", "schedule")
        own = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        if "optimiser" in own and "lr" not in own and own["optimiser"] != given.optimiser:
            own["lr"] = None  # the default rate of the phase's own optimiser
        return replace(given, **own, epochs=epochs)


@dataclass(frozen=True)
class FreezePolicy:
    """Phases, one after the other."""

    name: str
    phases: tuple[Phase, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of the last phase."""
        return self.phases[-1].rules

    def as_data(self) -> list[Any]:
        """Plain data for JSON: phases as lists of values."""
        keys = ("name", "epochs", "lr", "weight_decay", "optimiser", "schedule")
        return [
            {
                **{key: getattr(phase, key) for key in keys if getattr(phase, key) is not None},
                "rules": [list(vars(rule).values()) for rule in phase.rules],
            }
            for phase in self.phases
        ]

    @classmethod
    def from_data(cls, name: str, data: list[Any]) -> FreezePolicy:
        """What `as_data` gave, as a policy again."""
        phases = [
            Phase(**{**item, "rules": tuple(Rule(*rule) for rule in item["rules"])})
            for item in data
        ]
        return cls(name, tuple(phases))


def one_phase(name: str, *rules: tuple[str, float] | Rule) -> FreezePolicy:
    """A policy of one phase, from (selection, rate) pairs or whole rules.

    >>> one_phase("front", ("**", 1.0), ("a:layer1*", 0.0)).phases[0].rules[1].rate
    0.0
    """
    made = tuple(rule if isinstance(rule, Rule) else Rule(*rule) for rule in rules)
    return FreezePolicy(name, (Phase(name, made),))


_ADDED = (Rule("adapters"), Rule("joins"), Rule("heads"))
_HEADS_ONLY = (Rule("**", 0.0), Rule("adapters", 0.0), Rule("joins", 0.0), Rule("heads"))
_TENTH = (Rule("**", 0.1), *_ADDED)


def _upper(share: float) -> tuple[Rule, ...]:
    """What a plan adds, and the upper part of every source at a tenth of the rate."""
    return (Rule("**", 0.0), Rule(f"depth:{1 - share}..1", 0.1), *_ADDED)


FROZEN_PRESETS = ("heads-only", "adapters-only")  # under which no network learns

PRESETS: Mapping[str, FreezePolicy] = {
    policy.name: policy
    for policy in (
        FreezePolicy("heads-only", (Phase("heads-only", _HEADS_ONLY),)),
        FreezePolicy("adapters-only", (Phase("adapters-only", (Rule("**", 0.0), *_ADDED)),)),
        FreezePolicy("discriminative", (Phase("discriminative", _TENTH),)),
        one_phase("frozen-statistics", Rule("**", 0.1, statistics=False), *_ADDED),
        one_phase("layer-decay", Rule("**", 0.3, depth_decay=0.75), *_ADDED),
        one_phase("all", ("**", 1.0), *_ADDED),
        FreezePolicy("lp-ft", (Phase("probe", _HEADS_ONLY), Phase("finetune", _TENTH))),
        FreezePolicy(
            "gradual",
            (
                Phase("added parts", (Rule("**", 0.0), *_ADDED)),
                Phase("upper half", _upper(0.5)),
                Phase("all", _TENTH),
            ),
        ),
    )
}
