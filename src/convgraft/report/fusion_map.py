"""The fusion map: a plan's picture as inline SVG whose wires can be reached and asked."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from markupsafe import Markup

from convgraft.compose import Composite
from convgraft.report import plan_layout as layout
from convgraft.report.fusion_facts import Facts, FusionFacts
from convgraft.report.page_data import FusionMap
from convgraft.report.plan_canvas import text_width
from convgraft.report.plan_graph import HeadBox, Lane, PlanGraph, TapBox, plan_graph
from convgraft.report.plan_layout import NAME, SMALL, TITLE, Rect, shape_text
from convgraft.report.plan_lines import arrowhead, line
from convgraft.report.plan_places import Places, Route
from convgraft.report.plan_routes import find_places
from convgraft.report.svg import element, together

WIDEST = 1.4  # by how much a small map is made larger than it is laid out


def fusion_map(
    composite: Composite,
    title: str,
    *,
    gates: Mapping[str, float] | None = None,
    frozen: Collection[str] = (),
) -> FusionMap:
    """The map of a network, and the same as tables.

    Args:
        gates: by wire, as the plan writes it, how far it has opened.
        frozen: sources, `a`, or taps, `a:layer1`, that did not learn.
    """
    graph = plan_graph(composite.resolved, frozen)
    facts = FusionFacts(composite, graph, gates)
    picture = _Painter(graph, find_places(graph, text_width), facts).paint(title)
    return FusionMap(title, picture, facts.tables(), str(composite.plan))


def drawn_order(graph: PlanGraph) -> list[list[int]]:
    """The numbers of the arrows in the order in which `find_places` lays wires, by chip."""
    number = {id(arrow): place for place, arrow in enumerate(graph.arrows)}
    column = {lane: place for place, lane in enumerate(layout.ordered(graph))}
    slots = layout.slots(graph, layout.rows(graph), column).values()
    return [[number[id(arrow)] for arrow in slot] for here in slots for slot in here]


class _Painter:
    """Puts a plan on a page, from the back to the front."""

    def __init__(self, graph: PlanGraph, places: Places, facts: FusionFacts) -> None:
        self.graph, self.places, self.facts = graph, places, facts

    def paint(self, title: str) -> Markup:
        places, name = self.places, f"Fusion map of {title}"
        return element(
            "svg",
            *(self._lane(number) for number in range(len(self.graph.lanes))),
            *(_route(route, "flow") for route in sorted(places.chain, key=lambda one: one.kept)),
            *(_route(route, "rail") for route in places.rails),
            self._image(),
            *(self._tap(*place) for place in places.boxes),
            *(element("circle", cx=x, cy=y, r=2.6, class_="end") for x, y in places.dots),
            *self._wires(),
            *(self._head(head) for head in self.graph.heads),
            viewBox=f"0 0 {places.width:.0f} {places.height:.0f}",
            style=f"aspect-ratio: {places.width:.0f} / {places.height:.0f}; "
            f"max-width: {WIDEST * places.width:.0f}px",
            role="group",
            aria_label=name,
            class_="fusion",
        )

    def _lane(self, number: int) -> Markup:
        lane, panel = self.graph.lanes[number], self.places.panels[number]
        y = panel.y + 21
        left = panel.x + 22 + text_width(lane.name, TITLE, True)
        title = element("text", lane.name, x=panel.x + 14, y=y + 4, class_="title")
        network = element("text", _short(lane, panel, left), x=left, y=y + 4, class_="small")
        frozen = " frozen" if lane.frozen else ""
        return element("g", _rect(panel, 8, "panel"), title, network, class_=f"lane{frozen}")

    def _image(self) -> Markup:
        box, side = self.places.image, self.graph.image_size
        text = element(
            "text", f"image 3x{side}x{side}", x=box.middle[0], y=box.middle[1] + 4, class_="name"
        )
        return element("g", _rect(box, 14, "box"), text, class_="image")

    def _tap(self, lane: int, number: int) -> Markup:
        one = self.graph.lanes[lane]
        tap, box = one.boxes[number], self.places.boxes[lane, number]
        y = box.middle[1] + 4
        parts = [_rect(box, 5, "box"), element("text", tap.name, x=box.x + 10, y=y, class_="name")]
        if tap.role:
            left = box.x + 18 + text_width(tap.name, NAME, False)
            parts.append(element("text", tap.role, x=left, y=y, class_="small"))
        shape = shape_text(tap.shape)
        parts.append(element("text", shape, x=box.right - 10, y=y, class_="small end"))
        return _asked(self.facts.tap(one, tap), _tap_class(tap), *parts, stop=False)

    def _wires(self) -> list[Markup]:
        """Every wire with what is written on it; of a way and its way back, on the first."""
        parts: list[Markup] = []
        routes = iter(self.places.wires)
        chips = zip(drawn_order(self.graph), self.places.chips, strict=True)
        for numbers, (chip, text, kept) in chips:
            x, y = chip.middle
            label = [
                _rect(chip, 8.5, "chip"),
                element("text", text, x=x, y=y + 3.5, class_="small"),
            ]
            for place, number in enumerate(numbers):
                style = "wire" if kept else "wire pruned"
                route = _route(next(routes), "way", wide=True)
                own = label if place == len(numbers) - 1 else []
                parts.append(_asked(self.facts.arrow(number), style, route, *own))
        return parts

    def _head(self, head: HeadBox) -> Markup:
        box = self.places.heads[head.name]
        x, y = box.middle
        top = y - 6.5 * len(head.words) + 4
        words = [
            element("text", text, x=x, y=top + 14 + 13 * number, class_="small")
            for number, text in enumerate(head.words)
        ]
        name = element("text", head.name, x=x, y=top, class_="name")
        style = "head answer" if head.answer else "head"
        return _asked(self.facts.head(head), style, _rect(box, 8, "box"), name, *words)


def _short(lane: Lane, panel: Rect, left: float) -> str:
    """The network's name, without the folders of its weights where it is too long."""
    if left + text_width(lane.network, SMALL, False) <= panel.right:
        return lane.network
    name, _, weights = lane.network.partition("@")
    return f"{name}@{weights.rpartition('/')[2]}"


def _tap_class(tap: TapBox) -> str:
    state = " pruned" if not tap.kept else " frozen" if tap.frozen else ""
    return f"tap{state}"


def _asked(facts: Facts, style: str, *parts: str, stop: bool = True) -> Markup:
    """A part that tells its facts on hover; those that are a stop of Tab, on focus too."""
    told = json.dumps([facts.title, *facts.lines], ensure_ascii=False)
    if not stop:
        return element("g", *parts, class_=style, data_facts=told)
    return element(
        "g", *parts, class_=style, data_facts=told, tabindex="0", role="img",
        aria_label=facts.text,
    )  # fmt: skip


def _rect(box: Rect, radius: float, style: str) -> Markup:
    return element(
        "rect", x=box.x, y=box.y, width=box.width, height=box.height, rx=radius, class_=style
    )


def _route(route: Route, style: str, *, wide: bool = False) -> Markup:
    """A line with its arrowhead; `wide` puts an unseen broad one below it, easier to point at."""
    path = svg_path(line(route))
    parts = [element("path", d=path, class_="reach")] if wide else []
    parts.append(element("path", d=path, class_=style if route.kept else f"{style} pruned"))
    if route.arrow:
        tip = " ".join(f"{x:.1f},{y:.1f}" for x, y in arrowhead(route))
        parts.append(element("polygon", points=tip, class_=f"arrow {style}"))
    return together(parts)


def svg_path(path: object) -> str:
    """A matplotlib path of lines and curves as the `d` of an SVG path."""
    from matplotlib.path import Path

    assert isinstance(path, Path)
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
    return "".join(
        letters[code] + " ".join(f"{number:.1f}" for number in values)
        for values, code in path.iter_segments(simplify=False, curves=True)
    )
