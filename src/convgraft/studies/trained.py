"""Train one arm: the same steps for `fit`, the demo and every study."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from convgraft.compose import Composite, compose
from convgraft.studies.arms import Arm
from convgraft.studies.gates import wire_gates
from convgraft.studies.results import best_val
from convgraft.studies.solved import solve_arm
from convgraft.training import (
    PRESETS,
    FitOptions,
    FitResult,
    FreezePolicy,
    Task,
    evaluate_part,
    fit,
    start_adapters,
    start_ridge_heads,
    task_loss,
)
from convgraft.training.at_rest import EXACT
from convgraft.training.options import AUTO
from convgraft.training.policies import FROZEN_PRESETS
from convgraft.training.voting import fit_votes, fitted_heads

SOLVED = ("adapters.", "heads.")  # where the weights are that least squares fill in


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained arm, before its test.

    Attributes:
        frozen: paths of the networks that training has not changed, e.g. `sources.a`.
        notes: its curve, chosen epoch, seconds, freeze rules, gates and votes: what its
            `metrics.json` says.
    """

    arm: Arm
    composite: Composite
    notes: Mapping[str, Any]
    frozen: frozenset[str] = frozenset()


def train_arm(
    arm: Arm,
    task: Task,
    options: FitOptions,
    *,
    checkpoint: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    loggers: Sequence[Logger] = (),
) -> Trained:
    """Compose an arm, train it, and fit its votes; `notes["finished"]` says if nobody stopped it.

    Args:
        checkpoint: as of `convgraft.training.fit`; it stays there when all is done.
        loggers: as of `convgraft.training.fit`; what is solved in closed form tells them nothing.
    """
    options = settled(options, arm.policy)
    if arm.solved:
        return _solved(arm, task, options, on_progress)
    network = compose(arm.plan, arm.sources, seed=options.seed)
    began = time.monotonic()
    start_adapters(network, lambda: task.pixels("train").images, on_progress=on_progress)
    start_ridge_heads(network, task, options.seed, on_progress)
    started = time.monotonic() - began
    result = fit(
        network,
        task,
        arm.policy,
        options,
        loss=arm.loss,
        checkpoint=checkpoint,
        on_progress=on_progress,
        loggers=loggers,
    )
    weights = result.composite.named_parameters()
    notes = {
        "arm": arm.name,
        "finished": not result.interrupted,
        "val": _val(result, task),
        "best_epoch": result.best_epoch,
        "seconds": started + result.seconds,
        "trainable": sum(p.numel() for name, p in weights if name in result.learned),
        "freeze": {"name": arm.policy.name, "phases": arm.policy.as_data()},
        "loss": str(arm.loss or task_loss(arm.plan)),
        "loss_name": arm.loss.name if arm.loss else "task",
        "curve": [dict(epoch) for epoch in result.curve],
        "frozen": sorted(result.frozen),
        "augment": options.augment,
    }
    if gates := wire_gates(result.composite):
        notes["gates"] = gates
    if not result.interrupted:
        notes |= _voted(result.composite, task, options, result.frozen)
    return Trained(arm, result.composite, notes, result.frozen)


def _val(result: FitResult, task: Task) -> float | None:
    """Validation top-1 of the epoch that was kept, by the network as it is saved."""
    rounded = task.cache is not None and task.cache.dtype != EXACT
    if not rounded or result.best_epoch < 0:
        return best_val(result)
    return evaluate_part(result.composite, task, "val")[result.composite.plan.answer].top1


def settled(options: FitOptions, policy: FreezePolicy) -> FitOptions:
    """The options with `augment="auto"` decided: what is frozen gains little from augmentation."""
    if options.augment != AUTO:
        return options
    frozen = policy.name in FROZEN_PRESETS and policy == PRESETS[policy.name]
    return replace(options, augment="none" if frozen else "light")


def _solved(
    arm: Arm,
    task: Task,
    options: FitOptions,
    on_progress: Callable[[int, int], None] | None,
) -> Trained:
    """An arm that least squares fill in, and its notes; `trainable` counts what was solved."""
    began = time.monotonic()
    network, penalties = solve_arm(arm, task, options.seed, on_progress)
    seconds = time.monotonic() - began
    weights = network.named_parameters()
    frozen = frozenset(f"sources.{name}" for name in arm.sources)
    notes = {
        "arm": arm.name,
        "finished": True,
        "val": evaluate_part(network, task, "val", frozen)[network.plan.answer].top1,
        "best_epoch": -1,
        "seconds": seconds,
        "trainable": sum(p.numel() for name, p in weights if name.startswith(SOLVED)),
        "freeze": {"name": arm.policy.name, "phases": arm.policy.as_data()},
        "loss": "least squares",
        "loss_name": "ridge",
        "curve": [],
        "penalties": penalties,
        "frozen": sorted(frozen),
        **_voted(network, task, options, frozen),
    }
    return Trained(arm, network, notes, frozen)


def _voted(
    composite: Composite, task: Task, options: FitOptions, frozen: frozenset[str]
) -> dict[str, Any]:
    """Fit the votes that have numbers, on validation; what they came to, and what it is worth."""
    if not fitted_heads(composite):
        return {}
    votes = fit_votes(composite, task.pixels("val"), seed=options.seed)
    return {
        "votes": votes,
        "val": evaluate_part(composite, task, "val", frozen)[composite.plan.answer].top1,
    }
