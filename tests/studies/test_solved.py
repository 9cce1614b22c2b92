"""Arms without training: what least squares cannot fill in is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import Design, arm_of_plan, build_arm, random_front, train_arm
from convgraft.training import FitOptions, Task, evaluate, start_adapters
from helpers import head, opened, plan_for, small

SOURCES = {"a": small(), "b": small(1)}


def stitch(adapter: str, classifier: str = "own") -> Design:
    return Design(
        "stitch", StrategyOptions(at="layer2", adapter=adapter, classifier=classifier), solved=True
    )


@pytest.mark.parametrize("adapter", ["ridge", "ridge3x3", "conv1x1"])
def test_a_solved_stitch_is_its_start(adapter: str, digits_task: Task) -> None:
    arm = build_arm(stitch(adapter), Ingredients(SOURCES, 8, 10))
    trained = train_arm(arm, digits_task, FitOptions(epochs=5))
    expected = compose(arm.plan.keeping(("label",)), arm.sources)
    start_adapters(expected, digits_task.pixels("train").images)
    images = digits_task.pixels("val").images
    with torch.no_grad():
        found = trained.composite(images)["label"]
        torch.testing.assert_close(found, expected.eval()(images)["label"])
    assert trained.composite.plan.outputs == ("label",)
    top1 = evaluate(trained.composite, digits_task.pixels("val"))["label"].top1
    assert (trained.notes["val"], trained.notes["curve"]) == (top1, [])


def test_every_training_image_is_used(digits_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_adapters, "__defaults__", (10, None))
    arm = build_arm(stitch("ridge"), Ingredients(SOURCES, 8, 10))
    solved = train_arm(arm, digits_task, FitOptions()).composite
    some = compose(arm.plan.keeping(("label",)), arm.sources)
    start_adapters(some, digits_task.pixels("train").images, count=10)
    weights = [c.get_submodule("adapters.a:layer2->b:layer2").mix.weight for c in (solved, some)]
    assert not torch.allclose(*weights)


@pytest.mark.parametrize("adapter", ["block", "cnn"])
def test_an_adapter_that_would_stay_random_is_refused(adapter: str) -> None:
    with pytest.raises(UsageError, match="would stay random"):
        build_arm(stitch(adapter), Ingredients(SOURCES, 8, 10))


def test_a_new_head_is_refused() -> None:
    with pytest.raises(UsageError, match="has to be trained"):
        build_arm(stitch("ridge", "new"), Ingredients(SOURCES, 8, 10))


def test_votes_over_ridge_heads_are_fitted(digits_task: Task) -> None:
    plan = plan_for(
        SOURCES,
        heads=[
            head("a", "ridge", "a:flatten", classes=10),
            head("b", "ridge", "b:flatten", classes=10),
            head("label", "weighted", "heads:a", "heads:b"),
        ],
        size=8,
    )
    given = Ingredients(SOURCES, 8, 10)
    arm = arm_of_plan(Design("plan", freeze="heads-only"), plan, given)
    assert arm.solved
    notes = train_arm(arm, digits_task, FitOptions()).notes
    assert set(notes["votes"]) == {"label"}


def test_the_random_front_is_cut_where_likeness_cut_the_trained_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = Ingredients({"a": opened("cifar_resnet20"), "b": opened("cifar_resnet32")}, 8, 10)
    given = replace(given, images=lambda: torch.zeros(20, 3, 8, 8))

    def pairs(asked: Ingredients, left: str, right: str) -> list[SimpleNamespace]:
        """Another pair for every other front, as likeness would find."""
        at = 3 if asked.sources["a"] is given.sources["a"] else 4
        taps = (asked.blocks(left)[at], asked.blocks(right)[at])
        return [SimpleNamespace(left=taps[0], right=taps[1], cka=1.0)]

    monkeypatch.setattr("convgraft.strategies.stitch.likely_pairs", pairs)
    options = StrategyOptions(pairs="likeness", classifier="own")
    design = Design("stitch", options, ("pairs", "classifier"))
    arm, control = build_arm(design, given), random_front(design, given)
    ends = [(one.plan.wires[0].inputs, one.plan.wires[0].target) for one in (arm, control)]
    assert ends[0] == ends[1]
    assert control.sources["a"] is not arm.sources["a"]
