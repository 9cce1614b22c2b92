"""Accuracy against cost, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from convgraft.report.chart_frame import (
    LETTER,
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
from convgraft.report.page_data import Point
from convgraft.report.svg import element, together

WIDE = 8.0  # costs that differ by more than this factor get a logarithmic axis


def cost_chart(points: Sequence[Point]) -> Markup:
    """A dot for each arm, its interval, and the front: arms that none cheaper is better than."""
    frame = Frame(height=320 + 4 * len(points), right=40 + widest([p.name for p in points]))
    costs = [max(point.macs, 1.0) / 1e6 for point in points]
    log = max(costs) / min(costs) > WIDE
    across = frame.across(costs, log=log)
    shares = [100 * one for point in points for one in _reach(point)]
    upwards = frame.upwards(shares, (0, 100.5))
    labels = ("million MACs an image" + (" (logarithmic)" if log else ""), "test top-1, %")
    return svg(
        frame,
        "Test top-1 of every arm against what an image costs it",
        draw_frame(frame, across, upwards, labels),
        _front(points, across, upwards),
        *(_dot(point, across, upwards) for point in points),
        _names(points, frame, across, upwards),
    )


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats at no more MACs, the cheapest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.macs, -one.top1.value)):
        if not found or point.top1.value > found[-1].top1.value:
            found.append(point)
    return found


def _reach(point: Point) -> tuple[float, float]:
    share = point.top1
    return (
        share.value if share.low is None else share.low,
        share.value if share.high is None else share.high,
    )


def _place(point: Point, across: Scale, upwards: Scale) -> tuple[float, float]:
    return across.place(max(point.macs, 1.0) / 1e6), upwards.place(100 * point.top1.value)


def _front(points: Sequence[Point], across: Scale, upwards: Scale) -> Markup:
    places = [_place(point, across, upwards) for point in front(points)]
    if len(places) < 2:
        return Markup("")
    path = f"M{places[0][0]:.1f} {places[0][1]:.1f}"
    path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in places[1:])
    return element("path", d=path, class_="front")


def _dot(point: Point, across: Scale, upwards: Scale) -> Markup:
    x, y = _place(point, across, upwards)
    low, high = (upwards.place(100 * share) for share in _reach(point))
    words = f"{point.name}: {100 * point.top1.value:.2f} % at {point.macs / 1e6:,.1f} million MACs"
    bar = element("line", x1=x, x2=x, y1=low, y2=high, class_="bar") if low != high else ""
    dot = element("circle", cx=x, cy=y, r=6 if point.kind == "join" else 5)
    return element("g", element("title", words), bar, dot, class_=f"dot {point.kind}")


def _names(points: Sequence[Point], frame: Frame, across: Scale, upwards: Scale) -> Markup:
    """Names at the right of their dots, moved up or down where they would meet others."""
    places = [_place(point, across, upwards) for point in points]
    columns: list[list[int]] = []
    for number in sorted(range(len(points)), key=lambda n: places[n][0]):
        near = columns and places[number][0] - places[columns[-1][0]][0] < LETTER * 8
        columns[-1].append(number) if near else columns.append([number])
    parts: list[str] = []
    for column in columns:
        left = max(places[number][0] for number in column) + 14
        wanted = [places[number][1] for number in column]
        moved = apart(wanted, LINE, frame.top + 6, frame.height - frame.bottom - 6)
        for number, y in zip(column, moved, strict=True):
            x, own = places[number]
            if abs(y - own) > 4 or left - x > 20:
                d = f"M{x + 7:.1f} {own:.1f}L{left - 3:.1f} {y:.1f}"
                parts.append(element("path", d=d, class_="leader"))
            style = "name strong" if points[number].kind == "join" else "name"
            parts.append(element("text", short(points[number].name), x=left, y=y + 4, class_=style))
    return together(parts)


def cost_words(points: Sequence[Point]) -> str:
    """The front in a sentence."""
    names = [
        f"{point.name} ({100 * point.top1.value:.1f} % at {plain(round(point.macs / 1e6, 1))} "
        "million MACs)"
        for point in front(points)
    ]
    if len(names) == 1:
        return f"No arm is better than {names[0]}, and none is as good at less cost."
    return f"From cheap to dear, these arms are worth their cost: {', '.join(names)}."
