"""The lines of a picture of a plan: the image's way in, each lane's way down, wires and rails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from convgraft.report import plan_layout as layout
from convgraft.report.plan_graph import Arrow, Place, PlanGraph
from convgraft.report.plan_layout import BOX, CHIP, GAP, MARGIN, PAD, RAIL, Rect
from convgraft.report.plan_places import Placer, Places, Route


def find_places(graph: PlanGraph, measure: layout.Measure) -> Places:
    """Lay a plan out; `measure` tells how wide a text is."""
    placer = Placer(graph, measure)
    places = placer.place()
    _Router(placer, places).route()
    return places


class _Router:
    """Draws lines between what a `Placer` has placed."""

    def __init__(self, placer: Placer, places: Places) -> None:
        self.at, self.places, self.graph = placer, places, placer.graph

    def route(self) -> None:
        self._image()
        self._chain()
        self._wires()
        self._rails()

    def _image(self) -> None:
        panels = self.places.panels
        centres = [panel.middle[0] for panel in panels.values()]
        mean = sum(centres) / len(centres)
        nearest = min(centres, key=lambda x: abs(x - mean))
        middle = nearest if abs(nearest - mean) < BOX else mean  # no bend where none is needed
        text = f"image 3x{self.graph.image_size}x{self.graph.image_size}"
        width = self.at.measure(text, layout.NAME, True) + 28
        image = self.places.image = Rect(middle - width / 2, MARGIN, width, BOX)
        for lane in sorted(panels, key=lambda lane: self.graph.lanes[lane].sees_image):
            x, turn = panels[lane].middle[0], image.bottom + 13
            points = ((middle, image.bottom), (middle, turn), (x, turn), (x, panels[lane].y))
            if x == middle:
                points = (points[0], points[-1])
            self.places.chain.append(Route(points, self.graph.lanes[lane].sees_image))

    def _chain(self) -> None:
        for lane, one in enumerate(self.graph.lanes):
            for number, (above, below) in enumerate(zip(one.boxes, one.boxes[1:], strict=False)):
                upper, lower = (self.places.boxes[lane, number + step] for step in (0, 1))
                points = ((upper.middle[0], upper.bottom), (lower.middle[0], lower.y))
                self.places.chain.append(Route(points, above.kept and below.flows))

    def _wires(self) -> None:
        for (gutter, _), here in self.at.slots.items():
            for number, slot in enumerate(here):
                offset = CHIP * (number - (len(here) - 1) / 2)
                middle = self.at.chip_middle(gutter)
                y = self.places.boxes[slot[0].end].middle[1] + offset
                text = layout.chip_text(slot[0])
                width = self.at.measure(text, layout.SMALL, False) + 14
                chip = Rect(middle - width / 2, y - 8.5, width, 17)
                self.places.chips.append((chip, text, slot[0].kept))
                apart = 4.0 if len(slot) == 2 else 0.0
                for arrow, side in zip(slot, (-apart, apart), strict=False):
                    self.places.wires.append(self._wire(arrow, y + side, chip))

    def _wire(self, arrow: Arrow, y: float, chip: Rect) -> Route:
        start, end = self.places.boxes[arrow.start], self.places.boxes[arrow.end]
        leaves, arrives = layout.gutters(arrow, self.at.column)
        rightwards = leaves <= arrives and arrow.start[0] != arrow.end[0]
        goal = (end.x if arrives == self.at.column[arrow.end[0]] else end.right, y)
        out = start.x if leaves == self.at.column[arrow.start[0]] else start.right
        level = self.at.row[arrow.start] == self.at.row[arrow.end]
        near = chip.x if rightwards else chip.right
        leaving = start.middle[1] + (7.0 if end.y > start.y else -7.0)  # clear of what arrives
        if leaves == arrives and arrow.start[0] != arrow.end[0]:
            return Route(((out, y if level else leaving), (near, y), goal), arrow.kept, "across")
        side = 1 if out == start.right else -1
        away, turn = out + side * (PAD + 10), end.y - GAP / 2
        before = chip.middle[0]
        points = ((out, leaving), (away, leaving), (away, turn))
        if arrow.start[0] == arrow.end[0]:
            return Route((points[0], (before, points[0][1]), (before, y), goal), arrow.kept)
        return Route((*points, (before, turn), (before, y), goal), arrow.kept)

    def _rails(self) -> None:
        for head in self.graph.heads:
            box = self.places.heads[head.name]
            for name in head.heads:
                above = self.places.heads[name]
                points = ((above.middle[0], above.bottom), (box.middle[0], box.y))
                self.places.rails.append(Route(points, bend="down"))
            by_lane: dict[int, list[Place]] = defaultdict(list)
            for place in head.taps:
                by_lane[place[0]].append(place)
            for lane, taps in by_lane.items():
                self._rail(head.name, lane, taps, box)

    def _rail(self, name: str, lane: int, taps: Sequence[Place], head: Rect) -> None:
        """One line from the first tap down to the head; the other taps are led to it."""
        gutter = self.at.rail_gutter(lane)
        panel = self.places.panels[lane]
        away = RAIL * self.at.rails[gutter].index(name) + 10
        x = panel.x - away if gutter == 0 else panel.right + away
        ends = [
            (box.x if gutter == 0 else box.right, box.middle[1])
            for box in (self.places.boxes[place] for place in sorted(taps))
        ]
        turn, middle = self.at.channels[name], head.middle[0]
        down = ((x, ends[0][1]), (x, turn), (middle, turn), (middle, head.y))
        self.places.rails.append(Route((ends[0], *down)))
        self.places.rails += [Route((end, (x, end[1])), arrow=False) for end in ends[1:]]
        self.places.dots += ends
