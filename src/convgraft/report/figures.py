"""Figures of results, drawn by matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

JOIN, BASELINE = "#1f6f5c", "#9aa5a1"


def draw_comparison(
    rows: Sequence[Mapping[str, Any]], path: Path, *, title: str, joins: Sequence[str]
) -> Path:
    """Two panels: test top-1 of every arm, and top-1 against its cost.

    Args:
        rows: as `convgraft.studies.Row.as_dict` gives them.
        joins: names of the arms that join networks; they stand out by colour.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.42 * len(rows) + 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", parse_math=False)
    _bars(left, rows, joins)
    _scatter(right, rows, joins)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _colour(arm: str, joins: Sequence[str]) -> str:
    return JOIN if arm in joins else BASELINE


def _bars(axes: Any, rows: Sequence[Mapping[str, Any]], joins: Sequence[str]) -> None:
    ordered = sorted(rows, key=lambda row: row["test"]["top1"])
    scores = [100 * row["test"]["top1"] for row in ordered]
    colours = [_colour(row["arm"], joins) for row in ordered]
    bars = axes.barh([row["arm"] for row in ordered], scores, color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set_xlim(0, max(scores) * 1.12 if scores else 1)
    axes.set_xlabel("test top-1, %")


def _scatter(axes: Any, rows: Sequence[Mapping[str, Any]], joins: Sequence[str]) -> None:
    for row in rows:
        macs, score = row["macs"] / 1e6, 100 * row["test"]["top1"]
        axes.scatter(macs, score, color=_colour(row["arm"], joins), s=40)
    for (macs, score), arms in _neighbours(rows).items():
        axes.annotate(
            "\n".join(arms),
            (macs, score),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=8,
            va="center",
        )
    axes.set_xlabel("million MACs an image")
    axes.set_ylabel("test top-1, %")
    axes.margins(x=0.4, y=0.08)


def _neighbours(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[float, float], list[str]]:
    """Arms whose points lie too close for labels of their own, best first, by where to write."""
    scores = [100 * row["test"]["top1"] for row in rows]
    near = 0.06 * max(max(scores) - min(scores), 1e-9)
    groups: list[list[Mapping[str, Any]]] = []
    for row in sorted(rows, key=lambda row: (row["macs"], -row["test"]["top1"])):
        last = groups[-1][-1] if groups else None
        close = last and 100 * abs(last["test"]["top1"] - row["test"]["top1"]) < near
        if last and close and last["macs"] == row["macs"]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return {
        (g[0]["macs"] / 1e6, sum(100 * r["test"]["top1"] for r in g) / len(g)): [
            r["arm"] for r in g
        ]
        for g in groups
    }
