"""The figure of a few-shot evaluation: accuracy by shots, a panel for each head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convgraft.report.figures import BASELINE, JOIN

VOTE = "#5d6966"
MARKERS = "osD^vP*X"
APART = 0.035  # between two arms at one number of shots, as a share of it


def draw_fewshot(data: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Draw an evaluation to files of any of matplotlib's forms; `data` as of `fewshot_figure`."""
    figure = fewshot_figure(data)
    for path in paths:
        figure.savefig(path, dpi=130)


def fewshot_figure(data: Mapping[str, Any]) -> Any:
    """A matplotlib figure: a panel for each head, and in it a line for each network, the join and
    the vote, with their 95 % intervals.

    Args:
        data: what `convgraft fewshot --json` prints.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heads = data["heads"]
    figure = Figure(figsize=(2.2 + 3 * len(heads), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    title = f"Few-shot on {data['data']}: {data['ways']} classes, {data['episodes']} episodes"
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", parse_math=False)
    panels = figure.subplots(1, len(heads), sharey=True, squeeze=False)[0]
    for axes, head in zip(panels, heads, strict=True):
        _panel(axes, data, head)
    panels[0].set_ylabel("accuracy, %")
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    return figure


def _panel(axes: Any, data: Mapping[str, Any], head: str) -> None:
    scores = [one for one in data["scores"] if one["head"] == head]
    arms = list(dict.fromkeys(one["arm"] for one in scores))
    for number, arm in enumerate(arms):
        own = sorted((one for one in scores if one["arm"] == arm), key=lambda one: one["shots"])
        # side by side, so that no interval hides another one
        aside = 1 + APART * (number - (len(arms) - 1) / 2)
        axes.errorbar(
            [one["shots"] * aside for one in own],
            [100 * one["accuracy"] for one in own],
            yerr=_reach(own),
            color=_colour(arm, data),
            linestyle="-" if arm == data["join"] else "--",
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            capsize=3,
            label=arm,
        )
    _frame(axes, head, data["shots"])


def _reach(scores: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """How far each interval reaches below and above its mean, in points."""
    below = [100 * (one["accuracy"] - one["low"]) for one in scores]
    above = [100 * (one["high"] - one["accuracy"]) for one in scores]
    return [below, above]


def _colour(arm: str, data: Mapping[str, Any]) -> str:
    return {data["join"]: JOIN, data["vote"]: VOTE}.get(arm, BASELINE)


def _frame(axes: Any, head: str, shots: Sequence[int]) -> None:
    axes.set_title(head, loc="left", fontsize=10)
    axes.set_xscale("log")
    axes.set_xlim(min(shots) / 1.5, max(shots) * 1.5)
    axes.set_xticks(list(shots), [str(count) for count in shots])
    axes.minorticks_off()
    axes.set_xlabel("shots: images of each class to learn from")
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
