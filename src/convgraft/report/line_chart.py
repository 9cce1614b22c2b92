"""Lines over epochs or over training images, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from convgraft.report.chart_frame import (
    LINE,
    Frame,
    Scale,
    apart,
    draw_frame,
    plain,
    short,
    svg,
    widest,
)
from convgraft.report.page_data import Chart, Series
from convgraft.report.svg import element, together

COLOURS = 8  # that the page has


def line_chart(chart: Chart) -> Markup:
    """The chart; each line's name stands at its end, and what was chosen is a larger dot."""
    places = [place for one in chart.series for place in one.points]
    height = max(300.0, 80 + LINE * len(chart.series))
    frame = Frame(height=height, right=30 + widest([one.name for one in chart.series]))
    across = frame.across([x for x, _ in places], log=chart.log)
    upwards = frame.upwards([y for _, y in places], _bounds(chart))
    known = sorted({x for x, _ in places})
    few = known if len(known) <= 8 else known[:: -(-len(known) // 8)]
    return svg(
        frame,
        chart.title,
        draw_frame(frame, across, upwards, (chart.x_label, chart.y_label), x_ticks=few, say=plain),
        *(_line(one, number, across, upwards) for number, one in enumerate(chart.series)),
        _names(chart.series, frame, across, upwards),
    )


def _bounds(chart: Chart) -> tuple[float, float]:
    """Where the axis ends at the latest: shares at none and all, losses at 0 where none is below.

    One that is weighed by learned uncertainties may fall below 0.
    """
    if chart.y_label.endswith("%"):
        return 0.0, 100.5
    lowest = min(y for one in chart.series for _, y in one.points)
    return (0.0 if lowest >= 0 else -math.inf), math.inf


def _line(series: Series, number: int, across: Scale, upwards: Scale) -> Markup:
    places = [(across.place(x), upwards.place(y)) for x, y in series.points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = []
    for (x, y), (epoch, value) in zip(places, series.points, strict=True):
        chosen = epoch == series.marked
        words = f"{series.name}: {value:.4g} at {plain(epoch)}" + (", chosen" if chosen else "")
        title = element("title", words)
        dots.append(
            element("circle", title, cx=x, cy=y, r=6 if chosen else 3, class_="chosen" * chosen)
        )
    style = f"line c{number % COLOURS} {series.kind}"
    return element("g", element("path", d=path), *dots, class_=style)


def _names(series: Sequence[Series], frame: Frame, across: Scale, upwards: Scale) -> Markup:
    ends = [one.points[-1] for one in series]
    wanted = [upwards.place(y) for _, y in ends]
    moved = apart(wanted, LINE, frame.top + 6, frame.height - frame.bottom - 6)
    left = frame.width - frame.right + 18
    parts: list[str] = []
    for number, (one, (x, y), height) in enumerate(zip(series, ends, moved, strict=True)):
        d = f"M{across.place(x) + 5:.1f} {upwards.place(y):.1f}L{left - 4:.1f} {height:.1f}"
        parts.append(element("path", d=d, class_="leader"))
        style = f"name c{number % COLOURS}"
        parts.append(element("text", short(one.name), x=left, y=height + 4, class_=style))
    return together(parts)
