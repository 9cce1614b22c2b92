"""The learning curves of a run and of the arms beside it, and what kind of arm each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.report.page_data import Chart, Series
from convgraft.studies import BASELINES

Metrics = Mapping[str, Any]


def kind_of(row: Mapping[str, Any]) -> str:
    """What an arm is: `join`, `control`, `baseline` or `average`."""
    name = str(row["arm"])
    if row.get("kind") == "member" or name.startswith(tuple(f"{kind}-" for kind in BASELINES)):
        return "baseline"
    if name.startswith("average-"):
        return "average"
    return "control" if "random-front" in name else "join"


def run_charts(arms: Mapping[str, Metrics]) -> tuple[Chart, ...]:
    """Validation top-1 of every arm over epochs, and the run's own training loss.

    Args:
        arms: what each has noted, by name; the run's own first.
    """
    curves = {name: metrics["curve"] for name, metrics in arms.items() if metrics.get("curve")}
    series = [
        Series(name, kind_of({"arm": name}), points, arms[name].get("best_epoch", -1) + 1)
        for name, curve in curves.items()
        if len(points := _points(curve, arms[name])) > 1
    ]
    charts = []
    if series:
        title = "Validation top-1 over epochs"
        charts.append(Chart(title, "epoch", "validation top-1, %", tuple(series)))
    losses = [
        Series(name, kind_of({"arm": name}), tuple(points))
        for name, curve in curves.items()
        if name == next(iter(arms))
        and len(points := [(n + 1.0, e["train_loss"]) for n, e in enumerate(curve)]) > 1
    ]
    if losses:
        charts.append(Chart("Training loss over epochs", "epoch", "training loss", tuple(losses)))
    return tuple(charts)


def _points(curve: Sequence[Any], metrics: Metrics) -> tuple[tuple[float, float], ...]:
    """(epoch from 1, validation top-1 in percent) of the arm's answer."""
    answer = next(iter(metrics.get("test", {})), "label")
    return tuple(
        (number + 1.0, 100 * epoch["val"][answer]["top1"])
        for number, epoch in enumerate(curve)
        if answer in epoch.get("val", {})
    )
