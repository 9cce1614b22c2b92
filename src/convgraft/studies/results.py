"""What an arm came to, as one row of a table, and how it learned."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convgraft.compose import Composite, cost
from convgraft.studies.predictions import predictions_of
from convgraft.training import FitResult, Metrics, Task, answer_part


@dataclass(frozen=True)
class Row:
    """One arm's result.

    Attributes:
        val: top-1 of the chosen epoch on the validation part; None where nothing was chosen.
        test: of the answer, measured once, after every choice.
        columns: the same of the answers about other label columns, by column.
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
    columns: Mapping[str, Metrics] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        columns = {name: metrics.as_dict() for name, metrics in self.columns.items()}
        data = {**vars(self), "test": self.test.as_dict(), "columns": columns}
        return data if columns else {key: data[key] for key in data if key != "columns"}


def measure_row(
    arm: str,
    composite: Composite,
    task: Task,
    *,
    seconds: float,
    val: float | None = None,
    trainable: int = 0,
    frozen: Collection[str] = (),
    keep: Path | None = None,
) -> Row:
    """Evaluate an arm's answers on the test part; its only look at it.

    Args:
        frozen: paths of the networks that training has not changed: what they make of images may
            be stored already.
        keep: file for the predictions that the result comes from; none by default.
    """
    plan = composite.plan
    answered = answer_part(composite, task, "test", frozen, reader=arm)
    found = answered.metrics()
    if keep is not None:
        predictions_of(composite, answered, task).save(keep)
    columns = {plan.column(name): found[name] for name in plan.answers if plan.column(name)}
    spent = cost(composite)
    return Row(
        arm,
        val,
        found[plan.answer],
        spent.macs,
        spent.parameters,
        trainable,
        seconds,
        columns,
    )


def short_curve(notes: Mapping[str, Any], answer: str) -> dict[str, list[dict[str, Any]]]:
    """What a line tells of training: under `curve`, a mapping for each epoch, from 0.

    Args:
        notes: of the training; what was not trained in epochs has no curve, and this is empty.
        answer: the one whose validation is told.
    """
    curve = [_short(epoch, answer) for epoch in notes.get("curve", ())]
    return {"curve": curve} if curve else {}


def _short(epoch: Mapping[str, Any], answer: str) -> dict[str, Any]:
    score = epoch["val"].get(answer, {})
    figures = {
        "train_loss": epoch["train_loss"],
        "val_top1": score.get("top1"),
        "val_nll": score.get("nll"),
    }
    return {"epoch": epoch["epoch"], **{name: _rounded(one) for name, one in figures.items()}}


def _rounded(value: float | None) -> float | None:
    """With five significant digits; None for what JSON has no word for."""
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None


def best_val(result: FitResult) -> float | None:
    """Validation top-1 of the epoch that was kept."""
    if result.best_epoch < 0:
        return None
    return result.curve[result.best_epoch]["val"][result.composite.plan.answer]["top1"]
