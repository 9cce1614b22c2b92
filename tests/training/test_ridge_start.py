"""Adapters that start from least squares are near their goal before the first step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.data import Streamed, load_pixels
from convgraft.errors import UsageError
from convgraft.plan import Head
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.training import Task, start_adapters
from helpers import head, plan_for, same_state, small, wire

SOURCES = {"a": small(), "b": small(1)}
AT = ("layer1", "layer2")


def stitched(at: str, adapter: str) -> Composite:
    """A stitch that also shows the value that arrives and what b's own network has there."""
    given = Ingredients(SOURCES, 8, 10, StrategyOptions(at=at, adapter=adapter))
    plan = STRATEGIES["stitch"].write(given)
    shown = Head("shown", "tap", (plan.wires[0].target,))
    return compose(plan_for(SOURCES, wires=plan.wires, heads=[shown, *plan.heads], size=8), SOURCES)


def distance(composite: Composite, images: Tensor) -> float:
    """Mean squared distance of the stitch's tap from its goal, over the goal's variance."""
    target = composite.plan.wires[0].target
    goal_plan = plan_for({"b": SOURCES["b"]}, heads=[Head("goal", "tap", (target,))], size=8)
    composite.eval()
    goal_network = compose(goal_plan, {"b": SOURCES["b"]}).eval()
    with torch.no_grad():
        goal, found = goal_network(images)["goal"], composite(images)["shown"]
    return ((found - goal).square().mean() / goal.var()).item()


@pytest.mark.parametrize("adapter", ["conv1x1", "residual"])
@pytest.mark.parametrize(
    "at", ["layer2", "layer1:layer3", "layer3:layer1", "layer2:flatten", "flatten:layer2"]
)
def test_nearer_than_a_random_start(at: str, adapter: str, digits_task: Task) -> None:
    train, val = (digits_task.pixels(part).images for part in ("train", "val"))
    composite = stitched(at, adapter)
    random = distance(composite, val)
    start_adapters(composite, train)
    assert distance(composite, val) < 0.5 * random
    assert distance(composite, train) < 1  # better than the goal's mean


def test_no_linear_map_is_nearer(digits_task: Task) -> None:
    images = digits_task.pixels("train").images
    composite = stitched("layer2", "conv1x1")
    start_adapters(composite, images)
    best = distance(composite, images)
    mix = composite.adapters.get_submodule("a:layer2->b:layer2").mix
    for _ in range(5):
        kept = mix.weight.detach().clone()
        with torch.no_grad():
            mix.weight += 0.01 * torch.randn_like(mix.weight) * kept.std()
        assert distance(composite, images) > best
        with torch.no_grad():
            mix.weight.copy_(kept)


def test_the_same_network_twice_is_stitched_by_the_identity(digits_task: Task) -> None:
    images = digits_task.pixels("train").images
    twins = {"a": small(), "b": small()}
    given = Ingredients(twins, 8, 10, StrategyOptions(at="layer1", adapter="conv1x1"))
    composite = compose(STRATEGIES["stitch"].write(given), twins)
    start_adapters(composite, images)
    weight = composite.adapters.get_submodule("a:layer1->b:layer1").mix.weight[:, :, 0, 0]
    torch.testing.assert_close(weight.detach(), torch.eye(16), atol=0.02, rtol=0)


def test_other_wires_are_left_as_they_are(digits_task: Task) -> None:
    plan = plan_for(
        SOURCES,
        wires=[wire("a:layer2 -> b:layer2", "replace", "conv1x1", "one")],
        heads=[head("label", "identity", "b:fc")],
        size=8,
    )
    composite = compose(plan, SOURCES)
    before = {name: tensor.clone() for name, tensor in composite.state_dict().items()}
    start_adapters(composite, digits_task.pixels("train").images)
    assert all(torch.equal(before[n], t) for n, t in composite.state_dict().items())


@pytest.mark.parametrize("adapter", ["block", "cnn", "dense"])
def test_a_stitch_through_another_adapter_starts_at_random(adapter: str, digits_task: Task) -> None:
    start_adapters(stitched("layer2", adapter), digits_task.pixels("train").images)


def test_an_adapter_that_cannot_be_solved_for_is_told(digits_task: Task) -> None:
    plan = plan_for(
        SOURCES,
        wires=[wire("a:layer2 -> b:layer2", "replace", "block", "ridge")],
        heads=[head("label", "identity", "b:fc")],
        size=8,
    )
    with pytest.raises(UsageError, match="conv1x1 or residual"):
        start_adapters(compose(plan, SOURCES), digits_task.pixels("train").images)


def test_several_adapters_start_from_streamed_images(digits_task: Task) -> None:
    plan = plan_for(
        SOURCES,
        wires=[wire(f"a:{at} -> b:{at}", "add", "ridge", "one") for at in AT],
        heads=[head("label", "identity", "b:fc")],
        size=8,
    )
    rows = digits_task.split.train[:60]
    kept, streamed = (make(digits_task.images, 8, indices=rows) for make in (load_pixels, Streamed))
    found = [compose(plan, SOURCES) for _ in range(2)]
    start_adapters(found[0], kept.images, count=50)
    start_adapters(found[1], lambda: streamed.images, count=50)
    assert same_state(*found)


def test_an_adapter_that_no_answer_needs_is_left_out(digits_task: Task) -> None:
    plan = plan_for(
        SOURCES,
        wires=[wire(f"a:{at} -> b:{at}", "replace", "conv1x1", "ridge") for at in AT],
        heads=[head("label", "identity", "b:fc")],
        size=8,
    )
    composite = compose(plan, SOURCES)
    assert [name for name, _ in composite.adapters.named_children()] == ["a:layer2->b:layer2"]
    before = composite.adapters.get_submodule("a:layer2->b:layer2").mix.weight.clone()
    start_adapters(composite, digits_task.pixels("train").images[:50])
    after = composite.adapters.get_submodule("a:layer2->b:layer2").mix.weight
    assert not torch.equal(before, after)


def test_positions_are_drawn_where_all_would_take_too_long(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = digits_task.pixels("train").images
    seen: list[tuple[int, int]] = []
    whole, part = stitched("layer1", "ridge3x3"), stitched("layer1", "ridge3x3")
    random = distance(whole, images)
    start_adapters(whole, images)
    monkeypatch.setattr("convgraft.training.ridge_start.WORK", 0)
    start_adapters(part, images, on_progress=lambda done, total: seen.append((done, total)))
    weights = [c.get_submodule("adapters.a:layer1->b:layer1").mix.weight for c in (whole, part)]
    assert not torch.equal(*weights)
    assert distance(whole, images) < distance(part, images) < 0.5 * random
    assert seen[-1] == (len(images), len(images))


@pytest.mark.parametrize("at", ["layer2", "layer1:layer3"])
def test_patches_are_nearer_than_single_positions(at: str, digits_task: Task) -> None:
    images = digits_task.pixels("train").images
    found = []
    for adapter in ("ridge", "ridge3x3"):
        composite = stitched(at, adapter)
        start_adapters(composite, images)
        found.append(distance(composite, images))
    assert found[1] < 0.9 * found[0]
