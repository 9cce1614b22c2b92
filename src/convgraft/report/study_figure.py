"""The figure of a study: arms with their intervals, or lines over training images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convgraft.report.figures import BASELINE, JOIN
from convgraft.studies import ArmSummary, Interval

CONTROL = "#c08a3e"
COLOURS = {"join": JOIN, "control": CONTROL, "baseline": BASELINE, "average": "#5d6966"}
MARKERS = "osD^vP*X"


def draw_study(arms: Sequence[ArmSummary], paths: Sequence[Path], *, title: str) -> None:
    """Draw a study to files of any of matplotlib's forms.

    With one number of training images, a dot and an interval for each arm, best on top; with
    several, a line for each arm.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    several = len({arm.limit for arm in arms}) > 1
    names = list(dict.fromkeys(arm.arm for arm in arms))
    height = max(4.5, 0.26 * len(names) + 1) if several else 0.34 * len(names) + 1.6
    figure = Figure(figsize=(9, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", parse_math=False)
    axes = figure.subplots()
    if several:
        _lines(axes, arms, names)
    else:
        _dots(axes, arms)
    axes.spines[["top", "right"]].set_visible(False)
    for path in paths:
        figure.savefig(path, dpi=130)


def _dots(axes: Any, arms: Sequence[ArmSummary]) -> None:
    ordered = sorted(arms, key=lambda arm: arm.top1.value)
    for place, arm in enumerate(ordered):
        colour = COLOURS[arm.kind]
        score = 100 * arm.top1.value
        axes.errorbar(
            score, place, xerr=_bars([arm.top1]), fmt="o", color=colour, capsize=3, markersize=6
        )
        axes.annotate(
            f"{score:.1f}",
            (score, place),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(ordered)), [arm.arm for arm in ordered])
    axes.set_ylim(-0.6, len(ordered) - 0.2)
    axes.set_xlabel("test top-1, %")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    _legend_of_kinds(axes, arms)


def _legend_of_kinds(axes: Any, arms: Sequence[ArmSummary]) -> None:
    kinds = [kind for kind in COLOURS if any(arm.kind == kind for arm in arms)]
    for kind in kinds:
        axes.plot([], [], "o", color=COLOURS[kind], label=kind)
    if len(kinds) > 1:
        axes.legend(loc="lower right", frameon=False, fontsize=8)


def _lines(axes: Any, arms: Sequence[ArmSummary], names: Sequence[str]) -> None:
    joins = [name for name in names if any(a.arm == name and a.kind == "join" for a in arms)]
    for number, name in enumerate(names):
        own = sorted((a for a in arms if a.arm == name), key=lambda arm: arm.training_images)
        # side by side, so that no interval hides another one
        aside = 1 + 0.012 * (number - (len(names) - 1) / 2)
        axes.errorbar(
            [arm.training_images * aside for arm in own],
            [100 * arm.top1.value for arm in own],
            yerr=_bars([arm.top1 for arm in own]),
            color=_line_colour(name, own[0].kind, joins),
            linestyle="-" if own[0].kind == "join" else "--",
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            capsize=3,
            label=name,
        )
    counts = sorted({round(arm.training_images) for arm in arms})
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("training images")
    axes.set_ylabel("test top-1, %")
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _line_colour(name: str, kind: str, joins: Sequence[str]) -> str:
    """Joins have a colour each where there are several; all else goes by its kind."""
    return f"C{joins.index(name)}" if name in joins and len(joins) > 1 else COLOURS[kind]


def _bars(shares: Sequence[Interval]) -> list[list[float]]:
    """How far each interval reaches below and above its value, in points."""
    below = [0.0 if s.low is None else 100 * (s.value - s.low) for s in shares]
    above = [0.0 if s.high is None else 100 * (s.high - s.value) for s in shares]
    return [below, above]
