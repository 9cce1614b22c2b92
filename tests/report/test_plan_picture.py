"""Pictures of plans: everything a plan names is there, and what is pruned away is marked."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from convgraft.compose import Resolved, check, compose, resolve
from convgraft.errors import UsageError
from convgraft.plan import Plan
from convgraft.plan.values import HEADS_OWNER
from convgraft.report import draw_plan, frozen_sources
from convgraft.report.plan_canvas import text_width
from convgraft.report.plan_graph import PlanGraph, plan_graph
from convgraft.report.plan_routes import find_places
from convgraft.sources import Source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.studies import Arm, Design, build_arm
from convgraft.training import PRESETS
from helpers import head, plan_for, small, wire

SVG = "{http://www.w3.org/2000/svg}"


def arm_of(name: str) -> Arm:
    columns = {"family": 4} if name == "multitask" else {}
    given = Ingredients({"a": small(), "b": small(1)}, 32, 10, columns=columns)
    return build_arm(Design(name), given)


def resolved(plan: Plan, sources: Mapping[str, Source]) -> Resolved:
    return resolve(check(plan, {ref.name: sources[ref.name] for ref in plan.sources}))


def texts(path: Path) -> list[str]:
    return [element.text or "" for element in ET.parse(path).iter(f"{SVG}text")]


def stitched() -> Resolved:
    sources = {"a": small(), "b": small(1)}
    cut = wire("a:layer1 -> b:layer2", "replace", "conv1x1", "one")
    last = head("label", "linear", "b:features", classes=3)
    return resolved(plan_for(sources, wires=[cut], heads=[last]), sources)


def kept(graph: PlanGraph) -> dict[str, bool]:
    return {f"{lane.name}:{box.name}": box.kept for lane in graph.lanes for box in lane.boxes}


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_picture_holds_all_that_the_plan_names(name: str, tmp_path: Path) -> None:
    arm = arm_of(name)
    path = draw_plan(resolved(arm.plan, arm.sources), tmp_path / "x" / "plan.svg")
    assert path.stat().st_size < 60_000
    found = texts(path)
    refs = [ref for w in arm.plan.wires for ref in (*w.inputs, w.target)]
    refs += [ref for h in arm.plan.heads for ref in h.inputs if ref.source != HEADS_OWNER]
    assert {ref.tap for ref in refs} <= set(found)
    assert {ref.name for ref in arm.plan.sources} <= set(found)
    assert {h.name for h in arm.plan.heads} <= set(found)
    assert {f"{w.adapter}, {w.join}" for w in arm.plan.wires} <= set(found)
    for one in arm.plan.heads:
        assert any(text.startswith(one.kind) for text in found)
        assert not one.classes or any(f"{one.classes} classes" in text for text in found)


def test_a_tap_is_shown_with_its_shape(tmp_path: Path) -> None:
    found = texts(draw_plan(stitched(), tmp_path / "plan.svg"))
    assert {"16x32x32", "32x16x16", "64x8x8", "64", "image 3x32x32"} <= set(found)


def test_what_a_stitch_prunes_is_not_kept() -> None:
    graph = plan_graph(stitched())
    assert kept(graph) == {
        "a:input": True, "a:layer1": True,
        "a:layer2": False, "a:layer3": False, "a:flatten": False, "a:fc": False,
        "b:input": False, "b:layer1": False,
        "b:layer2": True, "b:layer3": True, "b:features": True, "b:fc": False,
    }  # fmt: skip
    assert [lane.sees_image for lane in graph.lanes] == [True, False]
    assert [box.flows for box in graph.lanes[1].boxes] == [False, False, False, True, True, False]


def test_what_is_kept_is_what_the_composite_computes() -> None:
    """A module that the compiled network still has is drawn as kept, and no other is."""
    made = stitched()
    network = compose(made.checked.plan, made.checked.sources)
    paths = {path for path, _ in network.named_modules()}
    for place, is_kept in kept(plan_graph(made)).items():
        source, tap = place.split(":")
        if tap.startswith("layer") and place != "b:layer2":  # the replaced tap has no module left
            assert (f"sources.{source}.{tap}" in paths) == is_kept, place


def test_a_wire_that_reaches_no_answer_is_pale_and_dashed(tmp_path: Path) -> None:
    sources = {"a": small(), "b": small(1)}
    idle = wire("a:layer1 -> b:layer1", "add", "conv1x1")
    only_a = head("label", "linear", "a:features", classes=3)
    plan = plan_for(sources, wires=[idle], heads=[only_a])
    graph = plan_graph(resolved(plan, sources))
    assert [arrow.kept for arrow in graph.arrows] == [False]
    assert not any(box.kept for box in graph.lanes[1].boxes)
    assert "pruned away" in texts(draw_plan(resolved(plan, sources), tmp_path / "idle.svg"))


def test_a_replaced_value_hides_the_wires_before_it() -> None:
    sources = {"a": small(), "b": small(1)}
    wires = [
        wire("a:layer1 -> b:layer1", "add", "identity"),
        wire("a:layer2 -> b:layer1", "replace", "conv1x1", "one"),
    ]
    plan = plan_for(sources, wires=wires, heads=[head("label", "linear", "b:fc", classes=3)])
    assert [arrow.kept for arrow in plan_graph(resolved(plan, sources)).arrows] == [False, True]


def test_only_pruned_plans_have_dashes(tmp_path: Path) -> None:
    sources = {"a": small()}
    whole = resolved(plan_for(sources), sources)
    path = draw_plan(whole, tmp_path / "whole.svg")
    assert "stroke-dasharray" not in path.read_text()
    assert "pruned away" not in texts(path)
    assert "stroke-dasharray" in draw_plan(stitched(), tmp_path / "cut.svg").read_text()


def test_frozen_parts_are_named_and_told(tmp_path: Path) -> None:
    graph = plan_graph(stitched(), frozen={"a", "b:layer3"})
    frozen = {f"{ln.name}:{box.name}" for ln in graph.lanes for box in ln.boxes if box.frozen}
    assert frozen == {f"a:{box.name}" for box in graph.lanes[0].boxes} | {"b:layer3"}
    assert "frozen" in texts(draw_plan(stitched(), tmp_path / "x.svg", frozen={"a"}))


@pytest.mark.parametrize(
    ("preset", "expected"), [("heads-only", {"a", "b"}), ("lp-ft", set()), ("all", set())]
)
def test_a_source_is_frozen_where_no_phase_lets_it_learn(preset: str, expected: set[str]) -> None:
    arm = arm_of("parallel")
    network = compose(arm.plan, arm.sources)
    assert frozen_sources(network, PRESETS[preset]) == expected


def test_the_same_plan_gives_the_same_file(tmp_path: Path) -> None:
    one, other = (draw_plan(stitched(), tmp_path / f"{n}.svg") for n in (1, 2))
    assert one.read_bytes() == other.read_bytes()
    assert not re.search(r"\d{4}-\d\d-\d\dT", one.read_text())


def test_a_png_is_a_picture(tmp_path: Path) -> None:
    with Image.open(draw_plan(stitched().checked, tmp_path / "plan.png")) as picture:
        assert picture.width > 800


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no picture"):
        draw_plan(stitched(), tmp_path / "plan.txt")


def awkward() -> Resolved:
    """Wires that jump over a lane, arrive together, and stay within one."""
    sources = {"a": small(), "b": small(1), "c": small(2)}
    wires = [
        wire("a:layer1, b:layer1 -> c:layer2", "concat"),
        wire("c:layer2 -> a:layer3", "gate"),
        wire("a:layer1.0.conv1 -> a:layer2", "add", "block"),
        wire("b:layer2 -> a:layer3", "add", "block"),
        wire("a:conv1 -> b:layer1", "add", "conv1x1"),
    ]
    heads = [
        head("one", "linear", "a:features", "b:features", classes=3),
        head("two", "mlp", "c:features", classes=3, hidden=(256, 64)),
        head("three", "linear", "a:features", "c:layer3", classes=3, fusion="attention"),
        head("label", "average", "heads:one", "heads:two"),
    ]
    return resolved(plan_for(sources, wires=wires, heads=heads), sources)


@pytest.mark.parametrize("name", ["awkward", "cross-skip", "co-learning", "ladder"])
def test_nothing_lies_on_anything_else(name: str) -> None:
    if name == "awkward":
        graph = plan_graph(awkward())
    else:
        design = Design("parallel", loss=name) if name == "co-learning" else Design(name)
        arm = build_arm(design, Ingredients({"a": small(), "b": small(1)}, 32, 10))
        graph = plan_graph(resolved(arm.plan, arm.sources))
    places = find_places(graph, text_width)
    solid = [*places.boxes.values(), *places.heads.values(), places.image]
    solid += [chip for chip, _, _ in places.chips]
    for one, other in combinations(solid, 2):
        apart = one.right <= other.x or other.right <= one.x
        assert apart or one.bottom <= other.y or other.bottom <= one.y, (one, other)
    assert all(rect.x >= 0 and rect.right <= places.width for rect in solid)
    assert all(rect.y >= 0 and rect.bottom <= places.height for rect in solid)
