"""Pairs by likeness where training images are at hand, by shape where there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.match import match_taps, pair_by_likeness
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.training import Task, start_adapters
from helpers import opened, small

SOURCES = {"a": small(), "b": small(1)}
TWINS = {"a": small(), "b": small()}


def given(task: Task | None, sources=SOURCES, **options) -> Ingredients:
    images = task.pixels("train").images if task else None
    ready = (lambda: images) if images is not None else None
    return Ingredients(sources, 8, 10, StrategyOptions(**options), images=ready)


def test_cross_skip_joins_the_pairs_of_the_matching_with_warm_gated_adapters(
    digits_task: Task,
) -> None:
    deep = {"a": opened("cifar_resnet20"), "b": opened("cifar_resnet32")}
    ready = given(digits_task, deep, pairs="likeness")
    plan = STRATEGIES["cross-skip"].write(ready)
    taps = [[tap for tap in ready.blocks(name) if tap.is_map] for name in ("a", "b")]
    images = digits_task.pixels("train").images
    matching = match_taps(deep["a"], deep["b"], images, *taps, image_size=8)
    expected = {(p.left.name, p.right.name) for p in pair_by_likeness(matching)}
    forward = {(w.inputs[0].tap, w.target.tap) for w in plan.wires if w.target.source == "b"}
    assert forward == expected
    assert len(expected) > 3  # more than there are stages, which is what shapes alone would join
    assert len(plan.wires) == 2 * len(expected)
    assert {(wire.adapter, wire.start) for wire in plan.wires} == {("ridge", "zero")}


def test_warm_adapters_leave_every_source_as_it_is(digits_task: Task) -> None:
    plan = STRATEGIES["cross-skip"].write(given(digits_task, pairs="likeness"))
    bare = replace(plan, wires=())
    images = digits_task.pixels("train").images
    warm, alone = compose(plan, SOURCES, seed=3), compose(bare, SOURCES, seed=3)
    start_adapters(warm, images)
    alone.load_state_dict(warm.state_dict(), strict=False)
    with torch.no_grad():
        for name, value in alone.eval()(images[:4]).items():
            assert torch.equal(warm.eval()(images[:4])[name], value)
    assert all(adapter.mix.weight.abs().max() > 0 for adapter in warm.adapters.children())


def test_twins_are_paired_block_by_block(digits_task: Task) -> None:
    plan = STRATEGIES["cross-skip"].write(given(digits_task, TWINS, pairs="likeness"))
    assert plan.wires
    assert all(wire.inputs[0].tap == wire.target.tap for wire in plan.wires)


def test_a_stitch_is_cut_inside_at_a_pair(digits_task: Task) -> None:
    ready = given(digits_task, TWINS, pairs="likeness")
    (wire,) = STRATEGIES["stitch"].write(ready).wires
    assert wire.inputs[0].tap == wire.target.tap
    depths = {tap.name: tap.depth for tap in ready.surveys["a"].taps}
    assert 0.25 <= depths[wire.target.tap] <= 0.75


@pytest.mark.parametrize("strategy", ["cross-skip", "stitch"])
def test_without_images_shapes_decide(strategy: str) -> None:
    write = STRATEGIES[strategy].write
    by_shape, asked = write(given(None)), write(given(None, pairs="likeness"))
    ends = [[(w.inputs, w.target) for w in plan.wires] for plan in (by_shape, asked)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("strategy", ["cross-skip", "stitch"])
def test_other_words_are_refused(strategy: str) -> None:
    with pytest.raises(UsageError, match="shape or likeness"):
        STRATEGIES[strategy].write(given(None, pairs="magic"))
