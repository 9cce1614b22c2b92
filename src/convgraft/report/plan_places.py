"""The places of everything in a picture of a plan, from its rows and columns; in pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from convgraft.report import plan_layout as layout
from convgraft.report.plan_graph import HeadBox, Place, PlanGraph
from convgraft.report.plan_layout import BOX, CHIP, GAP, HEADER, MARGIN, PAD, RAIL, Point, Rect

NECK = 26.0  # how far a wire runs on both sides of what is written on it


@dataclass(frozen=True)
class Route:
    """A line.

    Attributes:
        bend: `corner` for a line with round corners; `across` and `down` for one whose first
            stretch is an S, lying or standing.
        arrow: whether it ends in an arrowhead.
    """

    points: tuple[Point, ...]
    kept: bool = True
    bend: str = "corner"
    arrow: bool = True


@dataclass
class Places:
    """Where everything stands."""

    width: float = 0.0
    height: float = 0.0
    image: Rect = field(default_factory=lambda: Rect(0, 0, 0, 0))
    panels: dict[int, Rect] = field(default_factory=dict)
    boxes: dict[Place, Rect] = field(default_factory=dict)
    heads: dict[str, Rect] = field(default_factory=dict)
    chips: list[tuple[Rect, str, bool]] = field(default_factory=list)
    chain: list[Route] = field(default_factory=list)
    wires: list[Route] = field(default_factory=list)
    rails: list[Route] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)


class Placer:
    """Works outwards: rows and columns, lanes and boxes, then heads; `Router` adds the lines.

    Args:
        measure: how wide a text is.
    """

    def __init__(self, graph: PlanGraph, measure: layout.Measure) -> None:
        self.graph, self.measure = graph, measure
        self.places = Places()
        self.order = layout.ordered(graph)
        self.column = {lane: place for place, lane in enumerate(self.order)}
        self.row = layout.rows(graph)
        self.slots = layout.slots(graph, self.row, self.column)
        self.level = layout.levels(graph.heads)
        self.sizes = {head.name: layout.head_size(head, measure) for head in graph.heads}
        self.rails = self._count_rails()

    def place(self) -> Places:
        """The places of all that has a rectangle but the words on wires."""
        self._place_columns()
        self._place_boxes()
        self._place_heads()
        return self.places

    def rail_gutter(self, lane: int) -> int:
        """Where a lane's rails run: left of the first lane, right of the others."""
        column = self.column[lane]
        return 0 if column == 0 and len(self.order) > 1 else column + 1

    def _count_rails(self) -> dict[int, list[str]]:
        """By gutter, the heads whose rails run there, those that reach farthest first."""
        found: dict[int, list[str]] = defaultdict(list)
        for head in self._by_reach():
            for lane in sorted({lane for lane, _ in head.taps}):
                found[self.rail_gutter(lane)].append(head.name)
        return found

    def _by_reach(self) -> list[HeadBox]:
        heads = [head for head in self.graph.heads if head.taps]
        return sorted(heads, key=lambda head: -len({lane for lane, _ in head.taps}))

    def _chip_width(self, gutter: int) -> float:
        arrows = [s[0] for (at, _), here in self.slots.items() if at == gutter for s in here]
        texts = [self.measure(layout.chip_text(arrow), layout.SMALL, False) for arrow in arrows]
        return max(texts) + 16 if texts else 0.0

    def _gutter_width(self, gutter: int) -> float:
        rails = RAIL * len(self.rails[gutter]) + (8 if self.rails[gutter] else 0)
        chip = self._chip_width(gutter)
        inner = 0 < gutter < len(self.order)
        return rails + (chip + 2 * NECK if chip else 28.0 * inner)

    def _place_columns(self) -> None:
        """Lefts and widths of lanes; a picture is as wide as its lanes or its heads."""
        widths = [layout.lane_width(self.graph.lanes[i], self.measure) for i in self.order]
        between = [self._gutter_width(gutter) for gutter in range(len(widths) + 1)]
        total = sum(widths) + sum(between) + 2 * MARGIN
        needed = max((self._level_width(n) for n in set(self.level.values())), default=0.0)
        self.places.width = max(total, needed + 2 * MARGIN)
        left = MARGIN + (self.places.width - total) / 2
        self.lefts: list[float] = []
        self.widths = widths
        for gutter, width in zip(between, widths, strict=False):
            left += gutter
            self.lefts.append(left)
            left += width

    def _level_width(self, level: int) -> float:
        widths = [self.sizes[name][0] for name, own in self.level.items() if own == level]
        return sum(widths) + 24.0 * (len(widths) - 1)

    def _place_boxes(self) -> None:
        tallest: dict[float, float] = defaultdict(lambda: BOX)
        for (_, row), here in self.slots.items():
            tallest[row] = max(tallest[row], CHIP * len(here) + 8)
        y = MARGIN + BOX + 30 + HEADER
        centres: list[float] = []
        for row in range(int(max(self.row.values())) + 2):
            centres.append(y + tallest[row] / 2)
            y += tallest[row] + GAP
        arrived = {arrow.end for arrow in self.graph.arrows}
        for place, row in self.row.items():
            low, share = int(row), row - int(row)
            middle = centres[low] + share * (centres[low + 1] - centres[low])
            height = tallest[row] if place in arrived else BOX
            column = self.column[place[0]]
            left, width = self.lefts[column] + PAD, self.widths[column] - 2 * PAD
            self.places.boxes[place] = Rect(left, middle - height / 2, width, height)
        for lane, one in enumerate(self.graph.lanes):
            top = self.places.boxes[lane, 0].y - HEADER
            bottom = self.places.boxes[lane, len(one.boxes) - 1].bottom + PAD
            column = self.column[lane]
            panel = Rect(self.lefts[column], top, self.widths[column], bottom - top)
            self.places.panels[lane] = panel

    def _place_heads(self) -> None:
        floor = max(panel.bottom for panel in self.places.panels.values())
        channel = self._channels()
        count = 1 + max(channel.values(), default=-1)
        self.channels = {name: floor + 14 + RAIL * number for name, number in channel.items()}
        top = floor + 14 + RAIL * count + 12
        for level in range(max(self.level.values(), default=-1) + 1):
            names = [name for name, own in self.level.items() if own == level]
            height = max(self.sizes[name][1] for name in names)
            for name, middle in self._spread(names).items():
                width = self.sizes[name][0]
                self.places.heads[name] = Rect(middle - width / 2, top, width, height)
            top += height + 34
        self.places.height = top - 34 + MARGIN

    def _channels(self) -> dict[str, int]:
        """How far below the lanes a head's rails turn; those that could cross turn apart."""
        found: dict[str, int] = {}
        spans: dict[str, range] = {}
        for head in self._by_reach():
            columns = sorted(self.column[lane] for lane, _ in head.taps)
            spans[head.name] = range(columns[0], columns[-1] + 1)
            taken = {found[name] for name in found if set(spans[name]) & set(spans[head.name])}
            found[head.name] = 1 + max(taken, default=-1)
        return found

    def _spread(self, names: Sequence[str]) -> dict[str, float]:
        """The middles of heads on one level: below what they hear, and clear of each other."""
        wanted = sorted((self._wanted(name), names.index(name)) for name in names)
        ordered = [names[number] for _, number in wanted]
        middles: list[float] = []
        edge = MARGIN
        for (middle, _), name in zip(wanted, ordered, strict=True):
            half = self.sizes[name][0] / 2
            middles.append(max(middle, edge + half))
            edge = middles[-1] + half + 24
        free = sum(want for want, _ in wanted) / len(wanted) - sum(middles) / len(middles)
        first, last = self.sizes[ordered[0]][0] / 2, self.sizes[ordered[-1]][0] / 2
        right = self.places.width - MARGIN - last - middles[-1]
        shift = min(max(free, MARGIN + first - middles[0]), right)
        return {name: middle + shift for name, middle in zip(ordered, middles, strict=True)}

    def _wanted(self, name: str) -> float:
        head = next(head for head in self.graph.heads if head.name == name)
        heard = [self.places.heads[other].middle[0] for other in head.heads]
        lanes = {lane for lane, _ in head.taps}
        heard += [self.places.panels[lane].middle[0] for lane in lanes]
        return sum(heard) / len(heard)

    def chip_middle(self, gutter: int) -> float:
        """Where wires carry their words: clear of the rails, which run down on a gutter's left, and
        in gutter 0 on its right.
        """
        width = self._chip_width(gutter)
        if gutter == 0:
            return self.lefts[0] - NECK - width / 2 - RAIL * len(self.rails[0])
        right = self.lefts[gutter - 1] + self.widths[gutter - 1]
        rails = self.rails[gutter]
        return right + RAIL * len(rails) + (8 if rails else 0) + NECK + width / 2
