"""The fusion map: every wire tells its own facts, at the place where it is drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from convgraft.compose import Composite
from convgraft.report.fusion_facts import FusionFacts, added_macs
from convgraft.report.fusion_map import drawn_order, fusion_map
from convgraft.report.page_data import FusionMap
from convgraft.report.plan_canvas import text_width
from convgraft.report.plan_graph import plan_graph
from convgraft.report.plan_routes import find_places


def facts_of(root: ET.Element, style: str) -> dict[str, dict[str, str]]:
    """By title, what the parts of a kind tell."""
    found = {}
    for part in root.iter("g"):
        if style in (part.get("class") or "").split():
            title, *lines = json.loads(part.get("data-facts") or "")
            found[title] = dict(lines)
    return found


def test_every_wire_tells_shapes_adapter_gate_and_macs(
    crossed: Composite, mapped: FusionMap, gates: Mapping[str, float]
) -> None:
    told = facts_of(ET.fromstring(mapped.svg), "wire")
    wires = {f"{wire.inputs[0]} → {wire.target}": wire for wire in crossed.plan.wires}
    assert told.keys() == wires.keys()
    for title, wire in wires.items():
        tap = crossed.resolved.checked.tap(wire.target)
        assert told[title]["adapter"] == wire.adapter
        assert told[title]["shapes"].endswith("x".join(map(str, tap.shape)))
        assert told[title]["gate"].startswith(f"{gates[str(wire)]:.4f}")
        assert int(told[title]["MACs"].replace(",", "")) >= 0


def test_a_wires_macs_are_those_of_its_convolution(crossed: Composite) -> None:
    found = added_macs(crossed)
    counted = 0
    for parts in crossed.resolved.adapters:
        for part in parts:
            weights = crossed.get_submodule(f"adapters.{part.name}").named_parameters()
            kernels = sum(w.numel() for _, w in weights if w.dim() == 4)
            positions = part.shape_out[1] * part.shape_out[2]
            assert found[f"adapters.{part.name}"] == kernels * positions
            counted += kernels
    assert counted or all(
        p.kind == "identity" for parts in crossed.resolved.adapters for p in parts
    )


def test_wires_heads_and_blocks_are_all_there(crossed: Composite, mapped: FusionMap) -> None:
    root = ET.fromstring(mapped.svg)
    stops = [part for part in root.iter("g") if part.get("tabindex") == "0"]
    assert len(stops) == len(crossed.plan.wires) + len(crossed.plan.heads)
    assert all(part.get("aria-label") and part.get("role") == "img" for part in stops)
    taps = facts_of(root, "tap")
    assert taps["a:layer1"]["state"] == "frozen"
    assert taps["b:layer1"]["state"] == "learned"
    assert "pruned away" in taps["b:fc"]["note"]
    assert taps["b:layer1"]["shape"] == "16x32x32"
    assert [table.header[0] for table in mapped.tables] == ["wire", "tap", "head"]


def test_lines_are_told_in_the_order_in_which_they_are_drawn(crossed: Composite) -> None:
    graph = plan_graph(crossed.resolved)
    places = find_places(graph, text_width)
    numbers = [number for slot in drawn_order(graph) for number in slot]
    assert sorted(numbers) == list(range(len(graph.arrows)))
    for number, route in zip(numbers, places.wires, strict=True):
        arrow = graph.arrows[number]
        start, end = places.boxes[arrow.start], places.boxes[arrow.end]
        assert route.points[0][0] in (start.x, start.right)
        assert route.points[-1][0] in (end.x, end.right)
        assert end.y <= route.points[-1][1] <= end.bottom


def test_without_gates_none_is_made_up(crossed: Composite) -> None:
    facts = FusionFacts(crossed, plan_graph(crossed.resolved))
    assert dict(facts.arrow(0).lines)["gate"] == "began at 0"


def test_the_same_plan_gives_the_same_map(crossed: Composite) -> None:
    assert fusion_map(crossed, "x").svg == fusion_map(crossed, "x").svg
