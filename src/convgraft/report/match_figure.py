"""The heat maps of a matching: CKA and R2 in both directions, chosen pairs outlined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = "cividis"  # even in brightness, and the same to readers with a colour deficiency
MOST_NUMBERED = 24  # rows or columns up to which cells have room for a number
CELL = 0.32  # inches
PANELS = (
    ("cka", "CKA"),
    ("forward", "R² of {right} from {left}"),
    ("backward", "R² of {left} from {right}"),
)


def draw_matching(data: Mapping[str, Any], paths: Sequence[Path], *, title: str) -> None:
    """Draw three panels to files of any of matplotlib's forms.

    Args:
        data: two `networks` with `name` and `taps`, the tables `cka`, `forward` and `backward`,
            [rows][columns] with None where there is no number, and `pairs` with `left` and
            `right`, the names of taps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = ([tap["name"] for tap in one["taps"]] for one in data["networks"])
    width = max(2.4, CELL * len(columns)) + 0.075 * max(map(len, rows))
    height = max(2.0, CELL * len(rows)) + 0.075 * max(map(len, columns)) + 1.1
    figure = Figure(figsize=(3 * width + 1.2, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    left, right = (one["name"] for one in data["networks"])
    panels = list(figure.subplots(1, len(PANELS)))
    images = []
    for axes, (key, words) in zip(panels, PANELS, strict=True):
        images.append(_panel(axes, data, key, rows, columns))
        axes.set_title(words.format(left=left, right=right), fontsize=9, loc="left")
    figure.colorbar(images[0], ax=panels, shrink=0.8, pad=0.01, extend="min")
    for path in paths:
        figure.savefig(path, dpi=130)


def _panel(
    axes: Any, data: Mapping[str, Any], key: str, rows: Sequence[str], columns: Sequence[str]
) -> Any:
    import matplotlib
    import numpy as np

    table = [[math.nan if value is None else value for value in row] for row in data[key]]
    colours = matplotlib.colormaps[COLOURS].with_extremes(bad="#e4e7e6")
    image = axes.imshow(np.array(table), cmap=colours, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    left, right = (one["name"] for one in data["networks"])
    axes.set_xlabel(right, fontsize=8)
    axes.set_ylabel(left, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if max(len(rows), len(columns)) <= MOST_NUMBERED:
        _numbers(axes, table)
    _outlines(axes, [(rows.index(p["left"]), columns.index(p["right"])) for p in data["pairs"]])
    return image


def _numbers(axes: Any, table: Sequence[Sequence[float]]) -> None:
    """Hundredths in the cells, dark on light and light on dark."""
    for row, values in enumerate(table):
        for column, value in enumerate(values):
            told = "-" if math.isnan(value) else f"{100 * value:.0f}" if value > -1 else "<"
            colour = "white" if value < 0.55 else "black"
            axes.text(column, row, told, ha="center", va="center", fontsize=6, color=colour)


def _outlines(axes: Any, pairs: Sequence[tuple[int, int]]) -> None:
    """A frame around each pair, dark within light, so that it shows on every colour."""
    from matplotlib.patches import Rectangle

    for row, column in pairs:
        for colour, line in (("white", 3.4), ("black", 1.6)):
            corner = column - 0.5, row - 0.5
            frame = Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=line)
            frame.set_clip_on(False)
            frame.set_zorder(3)
            axes.add_patch(frame)
