"""Freeze policies: which parts of a composite learn, and how fast.

A policy is a list of selections, each mapped to `frozen` or to a share of the learning rate; a
later one overrules an earlier one. In a file:

    "**": 0.1                # every source, at a tenth of the rate
    "a:layer1*": frozen
    heads: 1

Frozen means frozen: no gradient, and the module stays in evaluation mode whatever calls `train()`,
so that batch norm's running statistics do not move either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from convgraft.compose import Composite
from convgraft.errors import UsageError, near_miss
from convgraft.plan.located import Located, read_yaml
from convgraft.sources import Place, Selection, Survey, parse_selection

FROZEN = "frozen"


@dataclass(frozen=True)
class FreezePolicy:
    """Selections and their rates, 0 for frozen, in order of growing priority."""

    name: str
    rules: tuple[tuple[str, float], ...]

    @cached_property
    def _selections(self) -> tuple[tuple[Selection, float], ...]:
        return tuple((parse_selection(text), rate) for text, rate in self.rules)

    def rate(self, place: Place) -> float:
        """The share of the learning rate that a place learns at."""
        rates = [rate for selection, rate in self._selections if selection.covers(place)]
        return rates[-1] if rates else 1.0

    def idle_rules(self, places: list[Place]) -> list[str]:
        """Selections that cover none of these places."""
        return [
            str(selection)
            for selection, _ in self._selections
            if not any(selection.covers(place) for place in places)
        ]


_ADDED = (("adapters", 1.0), ("joins", 1.0), ("heads", 1.0))
PRESETS: Mapping[str, FreezePolicy] = {
    policy.name: policy
    for policy in (
        FreezePolicy(
            "heads-only", (("**", 0.0), ("adapters", 0.0), ("joins", 0.0), ("heads", 1.0))
        ),
        FreezePolicy("adapters-only", (("**", 0.0), *_ADDED)),
        FreezePolicy("discriminative", (("**", 0.1), *_ADDED)),
        FreezePolicy("all", (("**", 1.0), *_ADDED)),
    )
}


def read_policy(name: str) -> FreezePolicy:
    """A preset by name, or a policy file; raises UsageError or PlanError (with line and column)."""
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if not path.is_file():
        raise UsageError(
            f'there is no freeze policy called "{name}"',
            expected=f"{', '.join(PRESETS)}, or a YAML file",
            hint=near_miss(name, PRESETS),
        )
    reader = Located(path.name)
    entries = reader.entries(read_yaml(path.read_text(encoding="utf-8"), path.name))
    rules: list[tuple[str, float]] = []
    for selection, (key, value) in entries.items():
        rate = reader.scalar(value, _read_rate, "frozen, or a share of the learning rate", 1.0)
        try:
            parse_selection(selection)
        except UsageError as error:
            reader.complain(key, error.what, expected=error.expected, hint=error.hint)
        rules.append((selection, rate))
    reader.finish()
    return FreezePolicy(path.name, tuple(rules))


def _read_rate(text: str) -> float:
    if text == FROZEN:
        return 0.0
    rate = float(text)
    if not 0 <= rate < float("inf"):
        raise ValueError(text)
    return rate


@dataclass(frozen=True)
class Freeze:
    """A policy worked out for one composite.

    Attributes:
        rates: parameter name to its share of the learning rate; 0 is frozen.
        held: paths of the modules that stay in evaluation mode.
    """

    rates: Mapping[str, float]
    held: frozenset[str]

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the frozen parameters."""
        return tuple(name for name, rate in self.rates.items() if rate == 0)


def work_out(policy: FreezePolicy, composite: Composite) -> Freeze:
    """Ask the policy about every weight and module; raises UsageError where nothing would learn.

    A selection of a policy file that covers nothing is a mistake too.
    """
    places = _Places(composite)
    modules = {path: places.of(path) for path, _ in composite.named_modules() if "." in path}
    rates = {name: policy.rate(places.of(name)) for name, _ in composite.named_parameters()}
    if policy.name not in PRESETS:
        idle = policy.idle_rules([*modules.values(), *map(places.of, rates)])
        if idle:
            raise UsageError(f'the freeze policy selects nothing with "{idle[0]}"')
    if not any(rates.values()):
        raise UsageError(
            f'with the freeze policy "{policy.name}" nothing learns',
            found=f"{len(rates)} weights, all frozen",
            hint="a head with weights, or --freeze all",
        )
    return Freeze(rates, _held(composite, policy, modules, rates))


def _held(
    composite: Composite,
    policy: FreezePolicy,
    modules: Mapping[str, Place],
    rates: Mapping[str, float],
) -> frozenset[str]:
    """Modules all of whose parts are frozen, from the leaves up."""
    held: set[str] = set()
    for path, module in [*composite.named_modules()][::-1]:
        own = [
            rates.get(f"{path}.{name}", 1.0) for name, _ in module.named_parameters(recurse=False)
        ]
        children = [f"{path}.{name}" for name, _ in module.named_children()]
        if not path or path.startswith("preprocess") or "." not in path:
            continue
        if children:
            frozen = not any(own) and all(child in held for child in children)
        else:
            frozen = not any(own) if own else policy.rate(modules[path]) == 0
        if frozen:
            held.add(path)
    return frozenset(held)


class _Places:
    """Module and parameter paths of a composite as places that selections understand."""

    def __init__(self, composite: Composite) -> None:
        self._surveys = composite.resolved.checked.surveys
        self._kinds = {name: _kinds(survey) for name, survey in self._surveys.items()}

    def of(self, path: str) -> Place:
        section, _, rest = path.partition(".")
        if section != "sources":
            return Place(section, (rest,))
        source, _, inner = rest.partition(".")
        around = [".".join(inner.split(".")[:n]) for n in range(1, inner.count(".") + 2)]
        kinds = [self._kinds[source].get(prefix, frozenset()) for prefix in around]
        depths = self._surveys[source].depth_of
        depth = next((depths[p] for p in reversed(around) if p in depths), None)
        return Place(source, (inner,), depth, frozenset().union(*kinds))


def _kinds(survey: Survey) -> dict[str, frozenset[str]]:
    kinds: dict[str, frozenset[str]] = {}
    for tap in survey.taps:
        for name in tap.names:
            kinds[name] = kinds.get(name, frozenset()) | {tap.kind}
    return kinds


def apply_freeze(composite: Composite, freeze: Freeze) -> Composite:
    """The composite, its frozen weights without gradient, its held modules in evaluation mode."""
    for name, parameter in composite.named_parameters():
        parameter.requires_grad_(freeze.rates[name] > 0)
    return composite.holding(freeze.held)
