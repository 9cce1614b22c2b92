"""A head's statistics: exact where nothing upstream changes, and then held."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.training import PRESETS, FitOptions, FreezePolicy, Task, fit, one_phase, work_out
from convgraft.training.calibrate import calibrate, standardisers
from convgraft.training.freeze import apply_freeze
from helpers import head, plan_for, small

PROBE = PRESETS["heads-only"]
SOURCES = {"a": small(), "b": small(1)}
NORM = "heads.label.norm"


def composed(strategy: str = "parallel", **options: object) -> Composite:
    given = Ingredients(SOURCES, 8, 10, StrategyOptions(**options))  # type: ignore[arg-type]
    return compose(STRATEGIES[strategy].write(given), SOURCES)


def features(images: Tensor) -> Tensor:
    """What both networks' classifiers read, all images at once, float64."""
    with torch.no_grad():
        found = []
        for opened in SOURCES.values():
            net = opened.module.eval()
            x = net.relu(net.bn1(net.conv1(opened.preprocessing.build()(images))))
            found.append(net.layer3(net.layer2(net.layer1(x))).mean((2, 3)).double())
    return torch.cat(found, 1)


def sets(composite: Composite, policy: FreezePolicy) -> tuple[set[str], set[str]]:
    return standardisers(apply_freeze(composite, work_out(policy, composite)))


def test_statistics_are_those_of_all_images(digits_task: Task) -> None:
    images = digits_task.pixels("train").images
    composite = composed()
    calibrate(composite, images, [NORM])
    values = features(images)
    norm = composite.get_submodule(NORM)
    mean = sum(values) / len(values)
    variance = sum((row - mean) ** 2 for row in values) / (len(values) - 1)
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-4, atol=1e-6)


def test_of_maps_every_position_counts(digits_task: Task) -> None:
    images = digits_task.pixels("train").images[:40]
    label = head("label", "linear", "a:layer2", "b:layer2", classes=10, fusion="bilinear")
    composite = compose(plan_for(SOURCES, heads=[label], size=8), SOURCES)
    calibrate(composite, images, [f"{NORM}.0"])
    net, x = SOURCES["a"].module.eval(), SOURCES["a"].preprocessing.build()(images)
    with torch.no_grad():
        maps = net.layer2(net.layer1(net.relu(net.bn1(net.conv1(x)))))
    norm = composite.get_submodule(f"{NORM}.0")
    for channel in (0, 31):
        values = maps[:, channel].flatten().double()
        assert norm.running_mean[channel].item() == pytest.approx(values.mean().item(), rel=1e-4)
        assert norm.running_var[channel].item() == pytest.approx(values.var().item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["linear", "mlp", "side"])
def test_every_norm_of_a_head_over_frozen_networks_is_fixed(kind: str) -> None:
    composite = composed("ladder", head=kind)
    fixed, moving = sets(composite, PROBE)
    expected = {NORM} if kind != "side" else {f"heads.label.norms.{n}" for n in range(8)}
    assert (fixed, moving) == (expected, set())


def test_where_anything_upstream_learns_nothing_is_fixed() -> None:
    assert sets(composed(), PRESETS["discriminative"]) == (set(), {NORM})
    top = one_phase("mine", ("**", 0.0), ("b:layer3*", 1.0))
    assert sets(composed(), top) == (set(), {NORM})


def test_what_lies_after_what_learns_does_not_matter() -> None:
    above = one_phase("mine", ("**", 0.0), ("a:layer3*", 1.0))
    heads = [head(tap, "linear", f"a:{tap}", classes=10) for tap in ("bn1", "layer3")]
    composite = compose(plan_for(SOURCES, heads=heads, size=8), SOURCES)
    assert sets(composite, above) == ({"heads.bn1.norm"}, {"heads.layer3.norm"})


def test_wires_that_learn_move_a_head_between_frozen_networks() -> None:
    composite = composed("cross-skip", adapter="conv1x1")
    assert sets(composite, PRESETS["adapters-only"]) == (set(), {NORM})
    assert sets(composite, PROBE) == ({NORM}, set())


def test_each_head_by_itself() -> None:
    only_a = one_phase("mine", ("**", 0.0), ("a:**", 1.0))
    assert sets(composed("finetune"), only_a) == ({"heads.b.norm"}, {"heads.a.norm"})


def test_a_fit_holds_what_is_fixed(digits_task: Task) -> None:
    result = fit(composed(), digits_task, PROBE, FitOptions(2, 50))
    values = features(digits_task.pixels("train").images)
    norm = result.composite.get_submodule(NORM)
    torch.testing.assert_close(norm.running_mean.double(), values.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), values.var(0), rtol=1e-4, atol=1e-6)
    assert not result.composite.train().get_submodule(NORM).training


def test_a_frozen_heads_statistics_are_left_alone(digits_task: Task) -> None:
    policy = one_phase("mine", ("**", 0.0), ("heads:a", 0.0), ("heads:b", 1.0))
    composite = composed("probe")
    with torch.no_grad():
        composite.heads.a.norm.running_mean.fill_(0.25)
    result = fit(composite, digits_task, policy, FitOptions(1, 50))
    assert (result.composite.heads.a.norm.running_mean == 0.25).all()
    assert not (result.composite.heads.b.norm.running_mean == 0).any()
