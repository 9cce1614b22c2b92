"""Train one arm: the same steps for `fit`, the demo and every study."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convgraft.compose import Composite, compose
from convgraft.studies.arms import Arm
from convgraft.studies.gates import wire_gates
from convgraft.studies.results import best_val
from convgraft.studies.solved import solve_arm
from convgraft.training import (
    FitOptions,
    Task,
    evaluate,
    fit,
    start_adapters,
    start_heads,
    task_loss,
)
from convgraft.training.voting import fit_votes

SOLVED = ("adapters.", "heads.")  # where the weights are that least squares fill in


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained arm, before its test.

    Attributes:
        notes: its curve, chosen epoch, seconds, freeze rules, gates and votes: what its
            `metrics.json` says.
    """

    arm: Arm
    composite: Composite
    notes: Mapping[str, Any]


def train_arm(
    arm: Arm,
    task: Task,
    options: FitOptions,
    *,
    checkpoint: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Compose an arm, train it, and fit its votes; `notes["finished"]` says if nobody stopped it.

    Args:
        checkpoint: as of `convgraft.training.fit`; it stays there when all is done.
    """
    if arm.solved:
        return _solved(arm, task, options, on_progress)
    network = compose(arm.plan, arm.sources, seed=options.seed)
    start_adapters(network, task.pixels("train").images, on_progress=on_progress)
    start_heads(network, task.pixels("train"), options.seed, on_progress)
    result = fit(
        network,
        task,
        arm.policy,
        options,
        loss=arm.loss,
        checkpoint=checkpoint,
        on_progress=on_progress,
    )
    weights = result.composite.named_parameters()
    notes = {
        "arm": arm.name,
        "finished": not result.interrupted,
        "val": best_val(result),
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
        "trainable": sum(p.numel() for name, p in weights if name in result.learned),
        "freeze": {"name": arm.policy.name, "phases": arm.policy.as_data()},
        "loss": str(arm.loss or task_loss(arm.plan)),
        "loss_name": arm.loss.name if arm.loss else "task",
        "curve": [dict(epoch) for epoch in result.curve],
    }
    if gates := wire_gates(result.composite):
        notes["gates"] = gates
    if not result.interrupted:
        notes |= _voted(result.composite, task, options)
    return Trained(arm, result.composite, notes)


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
    notes = {
        "arm": arm.name,
        "finished": True,
        "val": evaluate(network, task.pixels("val"))[network.plan.answer].top1,
        "best_epoch": -1,
        "seconds": seconds,
        "trainable": sum(p.numel() for name, p in weights if name.startswith(SOLVED)),
        "freeze": {"name": arm.policy.name, "phases": arm.policy.as_data()},
        "loss": "least squares",
        "loss_name": "ridge",
        "curve": [],
        "penalties": penalties,
        **_voted(network, task, options),
    }
    return Trained(arm, network, notes)


def _voted(composite: Composite, task: Task, options: FitOptions) -> dict[str, Any]:
    """Fit the votes that have numbers, on validation; what they came to, and what it is worth."""
    pixels = task.pixels("val")
    votes = fit_votes(composite, pixels, seed=options.seed)
    if not votes:
        return {}
    return {"votes": votes, "val": evaluate(composite, pixels)[composite.plan.answer].top1}
