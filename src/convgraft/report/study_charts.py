"""A study's charts: accuracy over training images, and how arms learned."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from convgraft.report.page_data import Chart, Series
from convgraft.studies import ArmSummary
from convgraft.studies.summary import Line, by_limit

CURVE = "curve"


def study_charts(arms: Sequence[ArmSummary], lines: Sequence[Line]) -> tuple[Chart, ...]:
    """Test top-1 over training images where there are several numbers, then learning curves."""
    return (*_over_images(arms), *learning_curves(lines))


def _over_images(arms: Sequence[ArmSummary]) -> tuple[Chart, ...]:
    if len({arm.limit for arm in arms}) < 2:
        return ()
    series = []
    for name in dict.fromkeys(arm.arm for arm in arms):
        own = sorted((a for a in arms if a.arm == name), key=lambda arm: arm.training_images)
        points = tuple((arm.training_images, 100 * arm.top1.value) for arm in own)
        series.append(Series(name, own[0].kind, points))
    title = "Test top-1 over training images"
    return (Chart(title, "training images", "test top-1, %", tuple(series), log=True),)


def learning_curves(lines: Sequence[Line]) -> tuple[Chart, ...]:
    """For each number of training images validation top-1 over epochs, means over seeds.

    Arms that were not trained in epochs, or in one alone, have no line; what has none, no chart.
    """
    found = []
    for here in by_limit(lines):
        names = dict.fromkeys(line["arm"] for line in here)
        series = [_curve([ln for ln in here if ln["arm"] == name]) for name in names]
        series = [one for one in series if one is not None]
        if series:
            title = f"Validation top-1 over epochs, {_images(here)}"
            found.append(Chart(title, "epoch", "validation top-1, %", tuple(series)))
    return tuple(found)


def _curve(lines: Sequence[Line]) -> Series | None:
    """An arm's line: the epochs that all of its seeds have, from 1."""
    curves = [[epoch.get("val_top1") for epoch in line.get(CURVE, ())] for line in lines]
    points = []
    for number, scores in enumerate(zip(*curves, strict=False)):  # as long as the shortest
        known = [score for score in scores if score is not None]
        if len(known) == len(scores):
            points.append((number + 1.0, 100 * fmean(known)))
    if len(points) < 2:
        return None
    return Series(lines[0]["arm"], lines[0]["kind"], tuple(points))


def _images(lines: Sequence[Line]) -> str:
    count = fmean(line["training_images"] for line in lines)
    seeds = len({line["seed"] for line in lines})
    return f"{count:,.0f} training images" + (f", mean over {seeds} seeds" if seeds > 1 else "")
