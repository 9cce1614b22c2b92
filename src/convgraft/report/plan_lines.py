"""Routes as matplotlib paths: round corners, S-bends and arrowheads."""

from __future__ import annotations

from typing import Any

from convgraft.report.plan_layout import Point
from convgraft.report.plan_places import Route


def arrowhead(route: Route) -> list[Point]:
    """The triangle at a line's end."""
    (x, y), (x0, _) = route.points[-1], route.points[-2]
    if route.bend == "down" or x == x0:
        return [(x, y), (x - 3.4, y - 7), (x + 3.4, y - 7)]
    back = x - 7 if x > x0 else x + 7
    return [(x, y), (back, y - 3.4), (back, y + 3.4)]


def line(route: Route) -> Any:
    """The route as a path; it ends a little before its arrowhead's tip."""
    from matplotlib.path import Path as Line

    points = [*route.points[:-1], _short(route)]
    if route.bend == "corner":
        return _rounded(points)
    (x0, y0), (x1, y1) = points[0], points[1]
    if route.bend == "across":
        control = [((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)]
    else:
        control = [(x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2)]
    codes = [Line.MOVETO, *[Line.CURVE4] * 3, *[Line.LINETO] * (len(points) - 2)]
    return Line([points[0], *control, *points[1:]], codes)


def _short(route: Route) -> Point:
    (x, y), (x0, _) = route.points[-1], route.points[-2]
    if not route.arrow:
        return x, y
    if route.bend == "down" or x == x0:
        return x, y - 4
    return (x - 4, y) if x > x0 else (x + 4, y)


def _rounded(points: list[Point], radius: float = 7.0) -> Any:
    """A line through points, each of its corners rounded."""
    from matplotlib.path import Path as Line

    vertices, codes = [points[0]], [Line.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        near = _towards(corner, before, radius)
        vertices += [near, corner, _towards(corner, after, radius)]
        codes += [Line.LINETO, Line.CURVE3, Line.CURVE3]
    return Line([*vertices, points[-1]], [*codes, Line.LINETO])


def _towards(start: Point, goal: Point, far: float) -> Point:
    """The point at a distance from `start` on the way to `goal`, halfway at most."""
    x, y = goal[0] - start[0], goal[1] - start[1]
    length = max((x * x + y * y) ** 0.5, 1e-9)
    share = min(far / length, 0.5)
    return start[0] + x * share, start[1] + y * share
