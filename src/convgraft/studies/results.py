"""What an arm came to, as one row of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convgraft.compose import Composite, cost
from convgraft.training import FitResult, Metrics, Task, evaluate


@dataclass(frozen=True)
class Row:
    """One arm's result.

    Attributes:
        val: top-1 of the chosen epoch on the validation part; None where nothing was chosen.
        test: measured once, after every choice.
        macs, parameters, trainable: what one image costs, and what was learned.
        seconds: of training.
    """

    arm: str
    val: float | None
    test: Metrics
    macs: int
    parameters: int
    trainable: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**vars(self), "test": self.test.as_dict()}


def measure_row(
    arm: str,
    composite: Composite,
    task: Task,
    *,
    seconds: float,
    val: float | None = None,
    trainable: int = 0,
) -> Row:
    """Evaluate an arm's answer on the test part; its only look at it."""
    metrics = evaluate(composite, task.pixels("test", reader=arm))[composite.plan.answer]
    spent = cost(composite)
    return Row(arm, val, metrics, spent.macs, spent.parameters, trainable, seconds)


def best_val(result: FitResult) -> float | None:
    """Validation top-1 of the epoch that was kept."""
    if result.best_epoch < 0:
        return None
    return result.curve[result.best_epoch]["val"][result.composite.plan.answer]["top1"]
