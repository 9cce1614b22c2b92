"""A sheet to draw on with matplotlib, whose unit is a pixel: boxes, text, lines and dots."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from convgraft.report.plan_layout import Point, Rect
from convgraft.report.plan_lines import arrowhead, line
from convgraft.report.plan_places import Route

DASH = (0, (3, 2.4))
DPI = 96  # a pixel of the layout is a pixel of the picture
POINT = 72 / DPI
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "convgraft",
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
}


def text_width(text: str, size: float, bold: bool) -> float:
    """How wide a text is, in whole pixels."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    return ceil(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0])


class Canvas:
    """A sheet of a width and a height in pixels; x to the right, y downwards."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width / DPI, height / DPI))
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.axis("off")

    def save(self, path: Path) -> Path:
        """Write the sheet, by the path's suffix; the same sheet gives the same file."""
        import matplotlib as mpl

        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
        with mpl.rc_context(SETTINGS):
            self.figure.savefig(path, dpi=2 * DPI, transparent=True, metadata=metadata)
        return path

    def dots(self, middles: Sequence[Point], colour: str) -> None:
        """Small dots."""
        from matplotlib.lines import Line2D

        x, y = [x for x, _ in middles], [y for _, y in middles]
        self._add(Line2D(x, y, linestyle="none", marker="o", color=colour, ms=4.8 * POINT, mew=0))

    def rect(
        self,
        box: Rect,
        fill: str,
        edge: str,
        radius: float,
        *,
        dashed: bool = False,
        width: float = 1.0,
    ) -> None:
        """A rectangle with round corners."""
        from matplotlib.patches import FancyBboxPatch

        style = f"round,pad=0,rounding_size={min(radius, box.height / 2)}"
        patch = FancyBboxPatch(
            (box.x, box.y),
            box.width,
            box.height,
            boxstyle=style,
            facecolor=fill,
            edgecolor=edge,
            linewidth=width * POINT,
            linestyle=DASH if dashed else "-",
        )
        self._add(patch)

    def text(
        self, text: str, at: Point, size: float, colour: str, align: str, *, bold: bool = False
    ) -> None:
        """A line of text, its middle at the height of `at`."""
        self.axes.text(
            at[0],
            at[1] + 0.36 * size,
            text,
            fontsize=size * POINT,
            color=colour,
            ha=align,
            va="baseline",
            weight="bold" if bold else "normal",
            zorder=3,
        )

    def route(self, route: Route, colour: str, width: float) -> None:
        """A line, dashed where it is pruned away, with its arrowhead."""
        from matplotlib.patches import PathPatch, Polygon

        patch = PathPatch(
            line(route),
            facecolor="none",
            edgecolor=colour,
            linewidth=width * POINT,
            linestyle="-" if route.kept else DASH,
            capstyle="butt",
        )
        self._add(patch)
        if route.arrow:
            self._add(Polygon(arrowhead(route), facecolor=colour, edgecolor="none"))

    def _add(self, patch: Any) -> None:
        """Each shape above those before it."""
        patch.set(zorder=2, clip_on=False)
        self.axes.add_artist(patch)
