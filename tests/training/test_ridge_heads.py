"""Ridge heads are the ridge regression, and need no gradient step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from convgraft.compose import Composite, compose
from convgraft.data import MISSING, Pixels
from convgraft.errors import UsageError
from convgraft.plan import Plan
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import Design, build_arm, train_arm
from convgraft.training import FitOptions, Task, evaluate, start_heads
from helpers import head, plan_for, small

SOURCES = {"a": small(), "b": small(1)}


def two_heads() -> Plan:
    return plan_for(
        SOURCES,
        heads=[
            head("all", "ridge", "a:layer1", "b:flatten", classes=10),
            head("other", "linear", "a:flatten", classes=10),
        ],
        size=8,
    )


def read(composite: Composite, pixels: Pixels) -> torch.Tensor:
    """What the head named `all` reads, pooled, by running the networks on their own."""
    taps = [head("x", "tap", "a:layer1"), head("y", "tap", "b:flatten")]
    alone = compose(plan_for(SOURCES, heads=taps, size=8), SOURCES).eval()
    with torch.no_grad():
        found = alone(pixels.images)
    return torch.cat([found["x"].mean((2, 3)), found["y"]], 1)


def test_it_is_ridge_regression_on_standardised_features(digits_task: Task) -> None:
    pixels = digits_task.pixels("train")
    composite = compose(two_heads(), SOURCES)
    penalty = start_heads(composite, pixels)["all"]
    features = read(composite, pixels).double()
    standard = ((features - features.mean(0)) / (features.var(0) + 1e-5).sqrt()).numpy()
    targets = np.eye(10)[pixels.labels.numpy()]
    scale = composite.get_submodule("heads.all").scale
    x = float(scale) * standard
    alpha = penalty * np.square(x - x.mean(0)).sum() / len(x)
    expected = Ridge(alpha=alpha).fit(x, targets).predict(x)
    with torch.no_grad():
        found = composite.eval()(pixels.images)["all"].numpy()
    assert np.array_equal(found.argmax(1), expected.argmax(1))
    centred = (found - found.mean(0)) / found.std()
    assert np.abs(centred - (expected - expected.mean(0)) / expected.std()).max() < 1e-3
    losses = [
        torch.nn.functional.cross_entropy(torch.from_numpy(scores).double(), pixels.labels)
        for scores in (found, expected)
    ]
    assert losses[0] < 0.7 * losses[1]  # scaled up to logits


def test_other_heads_are_left_as_they_are(digits_task: Task) -> None:
    composite = compose(two_heads(), SOURCES)
    before = {n: t.clone() for n, t in composite.get_submodule("heads.other").state_dict().items()}
    start_heads(composite, digits_task.pixels("train"))
    after = composite.get_submodule("heads.other").state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_images_without_a_label_are_left_out(digits_task: Task) -> None:
    pixels = digits_task.pixels("train")
    labels = pixels.labels.clone()
    labels[::2] = MISSING
    half = Pixels(pixels.images[1::2], pixels.labels[1::2], pixels.indices[1::2], ())
    holed = Pixels(pixels.images, labels, pixels.indices, ())
    one, other = compose(two_heads(), SOURCES), compose(two_heads(), SOURCES)
    start_heads(one, holed)
    start_heads(other, half)
    for name, value in one.get_submodule("heads.all").state_dict().items():
        torch.testing.assert_close(value, other.get_submodule("heads.all").state_dict()[name])
    unlabelled = Pixels(pixels.images, torch.full_like(labels, MISSING), pixels.indices, ())
    with pytest.raises(UsageError, match="no labelled image"):
        start_heads(one, unlabelled)


def test_a_ridge_ladder_is_solved_and_not_trained(digits_task: Task) -> None:
    given = Ingredients(SOURCES, 8, 10)
    arm = build_arm(Design("ladder", StrategyOptions(head="ridge"), ("head",)), given)
    assert arm.solved
    before = {n: p.clone() for n, p in SOURCES["a"].module.named_parameters()}
    trained = train_arm(arm, digits_task, FitOptions(epochs=3))
    assert trained.notes["curve"] == []
    assert trained.notes["penalties"]["label"] > 0
    top1 = evaluate(trained.composite, digits_task.pixels("val"))["label"].top1
    assert trained.notes["val"] == top1
    assert top1 > 0.6
    after = dict(SOURCES["a"].module.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_where_networks_learn_too_a_ridge_head_is_where_training_begins(digits_task: Task) -> None:
    given = Ingredients(SOURCES, 8, 10)
    design = Design("ladder", StrategyOptions(head="ridge"), ("head",), freeze="discriminative")
    arm = build_arm(design, given)
    assert not arm.solved
    trained = train_arm(arm, digits_task, FitOptions(epochs=1, lr=1e-6, batch_size=64))
    solved = train_arm(
        build_arm(Design("ladder", StrategyOptions(head="ridge")), given), digits_task, FitOptions()
    )
    assert abs(trained.notes["val"] - solved.notes["val"]) < 0.05
