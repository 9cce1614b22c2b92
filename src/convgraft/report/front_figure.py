"""The figure of a search: every trial's validation top-1 against its cost, and the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convgraft.report.figures import BASELINE, JOIN

SINGLE = "#c08a3e"
Line = Mapping[str, Any]


def draw_front(
    trials: Sequence[Line],
    front: Sequence[Line],
    chosen: Line,
    paths: Sequence[Path],
    *,
    title: str,
) -> None:
    """Draw a search to files of any of matplotlib's forms.

    Args:
        trials: as a search's lines are, with `val`, `macs`, `networks` and `name`.
        front: those that no other one beats at no more MACs, the cheapest first.
        chosen: what is circled.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", parse_math=False)
    axes = figure.subplots()
    _points(axes, trials)
    _steps(axes, front)
    axes.scatter(*_place(chosen), s=150, facecolors="none", edgecolors=JOIN, label="chosen")
    axes.set_xlabel("million MACs an image")
    axes.set_ylabel("validation top-1, %")
    axes.margins(x=0.12, y=0.12)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    for path in paths:
        figure.savefig(path, dpi=130)


def _points(axes: Any, trials: Sequence[Line]) -> None:
    kinds = {
        "one network": (SINGLE, [line for line in trials if len(line["networks"]) == 1]),
        "several": (BASELINE, [line for line in trials if len(line["networks"]) > 1]),
    }
    for name, (colour, lines) in kinds.items():
        if lines:
            places = zip(*map(_place, lines), strict=True)
            axes.scatter(*places, color=colour, s=24, label=name, zorder=3)


def _steps(axes: Any, front: Sequence[Line]) -> None:
    """The front as stairs, each step with the name of its trial."""
    across, up = zip(*map(_place, front), strict=True)
    axes.step(across, up, where="post", color=JOIN, label="front")
    for line in front:
        axes.annotate(
            line["name"],
            _place(line),
            xytext=(4, -10),
            textcoords="offset points",
            fontsize=7,
        )


def _place(line: Line) -> tuple[float, float]:
    return line["macs"] / 1e6, 100 * line["val"]
