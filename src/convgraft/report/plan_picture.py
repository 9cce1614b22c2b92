"""A plan's graph as a picture: a lane for each source, wires between them, heads below."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from convgraft.compose import Checked, Composite, Resolved, resolve
from convgraft.errors import UsageError
from convgraft.report.figures import JOIN
from convgraft.report.plan_canvas import Canvas, text_width
from convgraft.report.plan_graph import PlanGraph, TapBox, plan_graph
from convgraft.report.plan_layout import NAME, SMALL, TITLE, Rect, shape_text
from convgraft.report.plan_places import Places
from convgraft.report.plan_routes import find_places
from convgraft.training import FreezePolicy
from convgraft.training.freeze import work_out_phases

INK, GREY, PALE = "#22302c", "#66736f", "#b4beba"
LEAF, PANEL, LINE = "#e3f0ec", "#f5f7f6", "#8d9a96"
ICE, BLUE, FROST = "#dfebf5", "#5b87ad", "#eff5fa"
FORMS = (".svg", ".png")


def draw_plan(plan: Checked | Resolved, path: Path, *, frozen: Collection[str] = ()) -> Path:
    """Draw a plan to an SVG or a PNG file, by the path's suffix.

    A lane for each source shows the image's way through the taps that matter, with their shapes;
    arrows between lanes are the wires, with adapter and join; heads stand below. What reaches no
    answer, and is pruned away, is pale and dashed. The same plan gives the same file.

    Args:
        frozen: sources, `a`, or taps, `a:layer1`, that do not learn; they are drawn in blue.

    Raises UsageError for a path with another suffix.
    """
    if path.suffix not in FORMS:
        raise UsageError(f'"{path}" is no picture', expected=" or ".join(FORMS))
    resolved = resolve(plan) if isinstance(plan, Checked) else plan
    graph = plan_graph(resolved, frozen)
    places = find_places(graph, text_width)
    canvas = Canvas(places.width, places.height + _legend(graph))
    _Painter(canvas).paint(graph, places)
    return canvas.save(path)


def frozen_sources(composite: Composite, policy: FreezePolicy) -> frozenset[str]:
    """The sources in which no phase of a policy lets a weight learn, for `draw_plan`."""
    learning = {
        name.split(".")[1]
        for phase in work_out_phases(policy, composite)
        for name, rate in phase.rates.items()
        if rate and name.startswith("sources.")
    }
    return frozenset(ref.name for ref in composite.plan.sources) - learning


def _marks(graph: PlanGraph) -> list[str]:
    """What the legend explains: only what is to be seen."""
    boxes = [box for lane in graph.lanes for box in lane.boxes]
    pruned = not all(box.kept for box in boxes) or not all(arrow.kept for arrow in graph.arrows)
    return ["pruned away"] * pruned + ["frozen"] * any(box.frozen for box in boxes)


def _legend(graph: PlanGraph) -> float:
    return 26.0 if _marks(graph) else 0.0


class _Painter:
    """Puts a plan on a canvas, from the back to the front."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    def paint(self, graph: PlanGraph, places: Places) -> None:
        height = places.height + _legend(graph)
        self.canvas.rect(Rect(1, 1, places.width - 2, height - 2), "white", "#d9dfdc", 10)
        for lane, panel in places.panels.items():
            frozen = graph.lanes[lane].frozen
            self.canvas.rect(panel, FROST if frozen else PANEL, "none", 8)
            self._title(graph.lanes[lane].name, graph.lanes[lane].network, panel)
        for route in sorted(places.chain, key=lambda route: route.kept):
            self.canvas.route(route, LINE if route.kept else PALE, 1.0)
        for route in places.rails:
            self.canvas.route(route, JOIN, 1.0)
        for route in places.wires:
            self.canvas.route(route, JOIN if route.kept else PALE, 1.4)
        self._image(graph, places.image)
        for lane, number in places.boxes:
            self._tap(graph.lanes[lane].boxes[number], places.boxes[lane, number])
        self.canvas.dots(places.dots, JOIN)
        for chip, text, kept in places.chips:
            self.canvas.rect(chip, "white", JOIN if kept else PALE, 8.5, dashed=not kept, width=0.9)
            self.canvas.text(text, chip.middle, SMALL, JOIN if kept else GREY, "center")
        self._heads(graph, places)
        self._explain(_marks(graph), places)

    def _title(self, name: str, network: str, panel: Rect) -> None:
        y = panel.y + 21
        self.canvas.text(name, (panel.x + 14, y), TITLE, INK, "left", bold=True)
        left = panel.x + 22 + text_width(name, TITLE, True)
        self.canvas.text(network, (left, y), SMALL, GREY, "left")

    def _image(self, graph: PlanGraph, box: Rect) -> None:
        self.canvas.rect(box, INK, INK, 14)
        side = graph.image_size
        self.canvas.text(f"image 3x{side}x{side}", box.middle, NAME, "white", "center", bold=True)

    def _tap(self, tap: TapBox, box: Rect) -> None:
        edge = BLUE if tap.frozen else LINE
        fill = ICE if tap.frozen else "white"
        if not tap.kept:
            edge, fill = PALE, "none"
        self.canvas.rect(box, fill, edge, 5, dashed=not tap.kept)
        y = box.middle[1]
        ink, soft = (INK, GREY) if tap.kept else (LINE, PALE)
        self.canvas.text(tap.name, (box.x + 10, y), NAME, ink, "left")
        if tap.role:
            left = box.x + 18 + text_width(tap.name, NAME, False)
            self.canvas.text(tap.role, (left, y), SMALL, soft, "left")
        self.canvas.text(shape_text(tap.shape), (box.right - 10, y), SMALL, soft, "right")

    def _heads(self, graph: PlanGraph, places: Places) -> None:
        for head in graph.heads:
            box = places.heads[head.name]
            fill, ink = (JOIN, "white") if head.answer else (LEAF, INK)
            self.canvas.rect(box, fill, JOIN, 8)
            x, middle = box.middle
            top = middle - 6.5 * len(head.words)
            self.canvas.text(head.name, (x, top), NAME, ink, "center", bold=True)
            for number, words in enumerate(head.words):
                self.canvas.text(words, (x, top + 14 + 13 * number), SMALL, ink, "center")

    def _explain(self, marks: list[str], places: Places) -> None:
        x, y = 20.0, places.height + 4
        for mark in marks:
            frozen = mark == "frozen"
            swatch = Rect(x, y - 5, 18, 10)
            self.canvas.rect(
                swatch, ICE if frozen else "none", BLUE if frozen else PALE, 3, dashed=not frozen
            )
            self.canvas.text(mark, (x + 24, y), SMALL, GREY, "left")
            x += 44 + text_width(mark, SMALL, False)
