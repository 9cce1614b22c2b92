"""The stages of a fit: the loss's stages, each under the policy's phases, and their epochs.

A loss of several stages runs its first ones under the policy's first phase, and its last one
through all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convgraft.compose import Composite
from convgraft.errors import UsageError
from convgraft.training.freeze import Freeze, work_out_phases
from convgraft.training.objective import Loss, Objective
from convgraft.training.options import FitOptions
from convgraft.training.policies import PRESETS, FreezePolicy, Phase, Rule


@dataclass(frozen=True)
class Stage:
    """One stretch of training: what is minimised, what learns, how fast and how long."""

    name: str
    objective: Objective
    freeze: Freeze
    options: FitOptions

    def __str__(self) -> str:
        """All that a checkpoint of this stage depends on."""
        given, what = self.options, self.freeze
        learns = [sorted(what.rates.items()), sorted(what.decays.items()), sorted(what.held)]
        digest = hashlib.sha256(repr(learns).encode()).hexdigest()[:12]
        return (
            f"{self.name}: {self.objective} ({self.objective.balance}), {given.epochs} epochs of "
            f"{given.optimiser}, {given.schedule}, rate {given.rate}, weight decay "
            f"{given.weight_decay}, learning parts {digest}"
        )


def plan_stages(
    composite: Composite, policy: FreezePolicy, loss: Loss, options: FitOptions
) -> tuple[Stage, ...]:
    """The stages, their epochs shared out.

    Raises UsageError where a phase lets nothing learn, or where there are too few epochs.
    """
    policy = _sparing(policy, loss.teachers)
    worked_out = work_out_phases(policy, composite)
    pairs: list[tuple[Objective, Phase, Freeze]] = []
    for number, objective in enumerate(loss.stages):
        phases, freezes = policy.phases, worked_out
        if objective.freeze:
            own = _sparing(PRESETS[objective.freeze], loss.teachers)
            phases, freezes = own.phases, work_out_phases(own, composite)
        elif number < len(loss.stages) - 1:
            phases, freezes = phases[:1], freezes[:1]
        pairs += [(objective, *pair) for pair in zip(phases, freezes, strict=True)]
    epochs = share_epochs([phase.epochs for _, phase, _ in pairs], options.epochs)
    return tuple(
        Stage(phase.name, objective, freeze, phase.options(options, count))
        for (objective, phase, freeze), count in zip(pairs, epochs, strict=True)
    )


def _sparing(policy: FreezePolicy, teachers: Sequence[str]) -> FreezePolicy:
    """The policy, with these sources frozen in every phase."""
    rules = tuple(Rule(f"{name}:**", 0.0) for name in teachers)
    phases = (replace(phase, rules=(*phase.rules, *rules)) for phase in policy.phases)
    return replace(policy, phases=tuple(phases)) if teachers else policy


def share_epochs(asked: Sequence[int | None], epochs: int) -> list[int]:
    """The epochs of each phase: what it asks for, or an equal part of what the others leave.

    >>> share_epochs([None, 2, None], 7)
    [2, 2, 3]
    """
    open_ones = [number for number, count in enumerate(asked) if count is None]
    left = epochs - sum(count or 0 for count in asked)
    if open_ones and left < len(open_ones):
        raise UsageError(
            f"--epochs {epochs} is too few for {len(asked)} stages of training",
            expected=f"at least {epochs - left + len(open_ones)}",
            hint=f"--epochs {epochs - left + len(open_ones)}",
        )
    shared = dict.fromkeys(open_ones, left // max(1, len(open_ones)))
    if open_ones:
        shared[open_ones[-1]] += left % len(open_ones)
    return [shared[number] if count is None else count for number, count in enumerate(asked)]
