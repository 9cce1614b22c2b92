"""How far a network's confidence is right, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from convgraft.report.chart_frame import Frame, Scale, draw_frame, svg
from convgraft.report.page_data import Bin
from convgraft.report.svg import element


def calibration_chart(bins: Sequence[Bin]) -> Markup:
    """A dot for each bin at its confidence and its share of right answers; area by count.

    On the diagonal a network is as often right as it says; below it, it says too much.
    """
    frame = Frame(width=460, height=400, right=20)
    across = Scale(0, 100, frame.left, frame.width - frame.right)
    upwards = Scale(0, 100, frame.height - frame.bottom, frame.top)
    most = max(one.count for one in bins)
    places = [(across.place(100 * b.confidence), upwards.place(100 * b.right)) for b in bins]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    start, end = ((across.place(v), upwards.place(v)) for v in (0, 100))
    return svg(
        frame,
        "Share of right answers against confidence",
        draw_frame(frame, across, upwards, ("confidence, %", "right answers, %")),
        element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_="diagonal"),
        element("path", d=line, class_="front"),
        *(
            element("circle", element("title", _words(one)), cx=x, cy=y, r=_radius(one, most))
            for one, (x, y) in zip(bins, places, strict=True)
        ),
        style="chart square",
    )


def _radius(one: Bin, most: int) -> float:
    return 3 + 9 * (one.count / most) ** 0.5


def _words(one: Bin) -> str:
    told = f"{one.count:,} answers, mean confidence {100 * one.confidence:.1f} %"
    return f"{told}: {100 * one.right:.1f} % right"
