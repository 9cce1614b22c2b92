"""Which weights a loss reaches, which of them change, and why the others do not.

A term sends a gradient to every weight that its outputs `of` depend on, through frozen layers too.
What it compares them with gives none. A weight changes where it receives a gradient and is not
frozen. All of that is read off the graph; `convgraft.training.gradient_check` has autograd agree.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

from convgraft.compose import Composite
from convgraft.training.calibrate import standardisers
from convgraft.training.freeze import apply_freeze, work_out
from convgraft.training.objective import Loss, Term, task_loss
from convgraft.training.options import FitOptions
from convgraft.training.policies import PRESETS, FreezePolicy, Phase, Rule
from convgraft.training.stages import Stage, plan_stages
from convgraft.training.upstream import Upstream

ENOUGH = FitOptions(epochs=1_000_000)  # what learns does not depend on the number of epochs
PRUNED = "pruned: reaches no answer"
UNREACHED = "no term of the loss depends on it"
ONLY_GOAL = "only compared with: a goal gives no gradient"


@dataclass(frozen=True)
class Reach:
    """What one stage of training does to one parameter.

    Attributes:
        name: in the composite, or as it would be had it not been pruned.
        part: the part that it belongs to: `sources.a`, `adapters.a:layer1->b:layer1`, ...
        weights: how many numbers it holds.
        receives: whether it receives a gradient.
        changes: whether it learns.
        rate: its share of the learning rate.
        why: in plain words.
        terms: the terms of the loss that depend on it, also where it is frozen.
        gate: `first` where its gradient is zero at the first step, since a gate behind it is at
            zero; `always` where that gate is frozen; else empty.
    """

    name: str
    part: str
    weights: int
    receives: bool
    changes: bool
    rate: float
    why: str
    terms: tuple[str, ...] = ()
    gate: str = ""


@dataclass(frozen=True, eq=False)
class StageGradients:
    """What one stage of training does to every parameter.

    Attributes:
        reaches: of the composite's parameters in their order, then of the pruned ones.
        moving: by part, the batch norms whose running statistics move.
    """

    stage: Stage
    reaches: tuple[Reach, ...]
    moving: Mapping[str, tuple[str, ...]]

    @property
    def moving_statistics(self) -> dict[str, tuple[str, ...]]:
        """`moving`, of the norms alone in which no weight changes beside them."""
        learning = {reach.name.rpartition(".")[0] for reach in self.reaches if reach.changes}
        idle = {
            part: tuple(path for path in paths if path not in learning)
            for part, paths in self.moving.items()
            if not part.startswith("heads.")  # their norms have no weights that could learn
        }
        return {part: paths for part, paths in idle.items() if paths}


def gradients(
    composite: Composite, policy: FreezePolicy, loss: Loss | None = None
) -> tuple[StageGradients, ...]:
    """What every stage of a fit would do to every parameter; nothing is trained or changed.

    Args:
        loss: the cross-entropy of every trained answer by default.

    Raises UsageError where nothing would learn.
    """
    loss = loss or task_loss(composite.plan)
    stages = plan_stages(composite, policy, loss, ENOUGH)
    return tuple(_analyse(composite, stage, policy, loss) for stage in stages)


def prepared(composite: Composite, stage: Stage) -> Composite:
    """A copy as the stage trains it: frozen, held, and in training mode."""
    held = apply_freeze(copy.deepcopy(composite), stage.freeze)
    fixed, _ = standardisers(held)
    return (held.holding(stage.freeze.held | fixed) if fixed else held).train()


def _analyse(
    composite: Composite, stage: Stage, policy: FreezePolicy, loss: Loss
) -> StageGradients:
    network = prepared(composite, stage)
    held = Upstream(network)
    reasons = _Reasons(Upstream(composite), held, stage)
    rules = _rules(composite, policy, stage)
    teachers = {f"sources.{name}" for name in loss.teachers}
    reaches = [
        reasons.reach(name, weight.numel(), rules[name], teachers)
        for name, weight in composite.named_parameters()
    ]
    moving: dict[str, tuple[str, ...]] = {}
    for path in held.norms:
        if network.get_submodule(path).training:
            moving[_part(path)] = (*moving.get(_part(path), ()), path)
    return StageGradients(stage, (*reaches, *_pruned(composite)), moving)


class _Reasons:
    """Which terms of a stage depend on which parameters, and what to say of each."""

    def __init__(self, plain: Upstream, held: Upstream, stage: Stage) -> None:
        rates = self.rates = stage.freeze.rates
        terms = [term for term in stage.objective.terms if term.weight]
        shut = {gate for gate in held.gates if rates[gate] == 0}
        outputs = {output for term in terms for output in term.of}
        frozen = {name for name, rate in rates.items() if rate == 0}
        # held sources share what they compute alike: a twin's frozen weights are not in `held`
        self.depends = {
            _said(term): held.of(term.of) | (plain.of(term.of) & frozen) for term in terms
        }
        self.at_first = held.of(outputs, held.gates)
        self.ever = held.of(outputs, shut)
        self.goals = plain.of({term.to for term in terms if term.to})

    def reach(self, name: str, weights: int, rule: str, teachers: set[str]) -> Reach:
        rate, part = self.rates[name], _part(name)
        terms = tuple(said for said, names in self.depends.items() if name in names)
        if not terms:
            why = ONLY_GOAL if name in self.goals else UNREACHED
            return Reach(name, part, weights, False, False, rate, why)
        if rate == 0:
            by = "as a teacher" if part in teachers else f"by the rule `{rule}`"
            return Reach(name, part, weights, False, False, rate, f"frozen {by}", terms)
        gate = "" if name in self.at_first else "first" if name in self.ever else "always"
        why = learning([rate], terms, gate)
        return Reach(name, part, weights, True, True, rate, why, terms, gate)


def learning(rates: list[float], terms: tuple[str, ...], gate: str) -> str:
    """Why parameters that learn at these rates do.

    >>> learning([0.1], ("task(label)",), "")
    'learns at 0.1 of the rate from task(label)'
    """
    low, high = f"{min(rates):.3g}", f"{max(rates):.3g}"
    share = low if low == high else f"{low} to {high}"
    told = f"learns{'' if share == '1' else f' at {share} of the rate'} from {', '.join(terms)}"
    if gate == "first":
        return f"{told}; zero at the first step because its gate is zero"
    if gate == "always":
        return f"{told}; stays zero because its gate is zero and frozen: only weight decay moves it"
    return told


def _said(term: Term) -> str:
    return f"{term.kind}({', '.join(term.of)})"


def _part(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _rules(composite: Composite, policy: FreezePolicy, stage: Stage) -> dict[str, str]:
    """The selection of the rule that each parameter falls under; empty where there is none."""
    own = PRESETS[stage.objective.freeze] if stage.objective.freeze else policy
    phase = next(phase for phase in own.phases if phase.name == stage.name)
    marks = work_out(replace(own, phases=(_numbered(phase),)), composite).rates
    told = ["", *(rule.selection for rule in phase.rules)]
    return {name: told[round(mark) - 1] for name, mark in marks.items()}


def _numbered(phase: Phase) -> Phase:
    """Its rules with their numbers, from 2, in place of their rates; 1 is no rule at all."""
    rules = [Rule(rule.selection, float(place)) for place, rule in enumerate(phase.rules, 2)]
    return replace(phase, rules=tuple(rules))


def _pruned(composite: Composite) -> list[Reach]:
    kept = {name for name, _ in composite.named_parameters()}
    return [
        Reach(f"sources.{source}.{name}", f"sources.{source}", w.numel(), False, False, 0.0, PRUNED)
        for source, opened in composite.resolved.checked.sources.items()
        for name, w in opened.module.named_parameters()
        if f"sources.{source}.{name}" not in kept
    ]
