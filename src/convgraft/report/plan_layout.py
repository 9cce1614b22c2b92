"""Where everything in a picture of a plan stands, in pixels; x to the right, y downwards.

Each source is a lane from top to bottom. A wire goes through the gutters between the lanes and
arrives on the row of its target. A head hears from its taps by rails that run down beside the
lanes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from convgraft.report.plan_graph import Arrow, HeadBox, Lane, Place, PlanGraph, TapBox

Point = tuple[float, float]
Measure = Callable[[str, float, bool], float]  # text, size, bold: width

NAME, SMALL, TITLE = 11.0, 9.5, 12.5  # sizes of text
MARGIN, PAD, BOX, GAP, HEADER, CHIP, RAIL = 20.0, 12.0, 28.0, 20.0, 42.0, 20.0, 9.0
MOST_PERMUTED = 6  # more lanes than that stay in the plan's order


@dataclass(frozen=True)
class Rect:
    """A rectangle by its left, top, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2


def shape_text(shape: Sequence[int]) -> str:
    """`16x32x32`."""
    return "x".join(map(str, shape))


def chip_text(arrow: Arrow) -> str:
    """What is written on a wire: its adapter, then its join."""
    return f"{arrow.adapter}, {arrow.join}"


def ordered(graph: PlanGraph) -> tuple[int, ...]:
    """The lanes from left to right: those that wires join side by side, wires to the right."""
    lanes = range(len(graph.lanes))
    if len(lanes) > MOST_PERMUTED:
        return tuple(lanes)

    def length(order: Sequence[int]) -> float:
        steps = [order.index(a.end[0]) - order.index(a.start[0]) for a in graph.arrows]
        return sum(abs(step) + (0.1 if step < 0 else 0.0) for step in steps)

    return min(permutations(lanes), key=lambda order: (length(order), order))


def rows(graph: PlanGraph) -> dict[Place, float]:
    """The row of every box: below the one before it, and not above where its wires start.

    A lane without wires is spread over all rows.
    """
    places = [(i, n) for i, lane in enumerate(graph.lanes) for n in range(len(lane.boxes))]
    found: dict[Place, float] = dict.fromkeys(places, 0.0)
    for _ in places:
        before = dict(found)
        for lane, number in places:
            if number:
                found[lane, number] = max(found[lane, number], found[lane, number - 1] + 1)
        for arrow in graph.arrows:
            found[arrow.end] = max(found[arrow.end], found[arrow.start])
        if found == before:
            break
    wired = {place[0] for arrow in graph.arrows for place in (arrow.start, arrow.end)}
    last = max(found.values())
    for i, lane in enumerate(graph.lanes):
        if i not in wired and len(lane.boxes) > 1:
            step = last / (len(lane.boxes) - 1)
            found |= {(i, n): n * step for n in range(len(lane.boxes))}
    return found


def levels(heads: Sequence[HeadBox]) -> dict[str, int]:
    """How many heads deep every head is."""
    found: dict[str, int] = {}
    for head in heads:
        found[head.name] = 1 + max((found[name] for name in head.heads), default=-1)
    return found


def opposite(one: Arrow, other: Arrow) -> bool:
    """Whether two arrows are one way and the way back, alike but for that."""
    return (one.start, one.end) == (other.end, other.start) and (
        chip_text(one),
        one.kept,
    ) == (chip_text(other), other.kept)


def gutters(arrow: Arrow, column: Mapping[int, int]) -> tuple[int, int]:
    """The gutters that an arrow leaves into and arrives from; gutter i is left of column i."""
    start, end = column[arrow.start[0]], column[arrow.end[0]]
    if start == end:
        return start + 1, end + 1
    return (start + 1, end) if start < end else (start, end + 1)


def lane_width(lane: Lane, measure: Measure) -> float:
    """Wide enough for its title and for the widest box."""
    title = measure(lane.name, TITLE, True) + 10 + measure(lane.network, SMALL, False)
    return max(150.0, title + 8, *(_box_width(box, measure) for box in lane.boxes)) + 2 * PAD


def _box_width(box: TapBox, measure: Measure) -> float:
    role = 8 + measure(box.role, SMALL, False) if box.role else 0.0
    shape = measure(shape_text(box.shape), SMALL, False)
    return measure(box.name, NAME, False) + role + 18 + shape + 20


def head_size(head: HeadBox, measure: Measure) -> tuple[float, float]:
    """Width and height of a head's box."""
    widths = [measure(line, SMALL, False) for line in head.words]
    return max(110.0, measure(head.name, NAME, True) + 28, *(w + 28 for w in widths)), (
        28.0 + 13 * len(head.words)
    )


def slots(
    graph: PlanGraph, row: Mapping[Place, float], column: Mapping[int, int]
) -> dict[tuple[int, float], list[list[Arrow]]]:
    """By gutter and row, the arrows that arrive there; a way and its way back share a slot."""
    found: dict[tuple[int, float], list[list[Arrow]]] = defaultdict(list)
    for arrow in graph.arrows:
        here = found[gutters(arrow, column)[1], row[arrow.end]]
        level = row[arrow.start] == row[arrow.end]
        twin = next((s for s in here if level and len(s) == 1 and opposite(s[0], arrow)), None)
        if twin is None:
            here.append([arrow])
        else:
            twin.append(arrow)
    return found
