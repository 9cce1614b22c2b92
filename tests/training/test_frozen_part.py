"""The frozen part runs once: the same weights as without, and never where it would not be so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.sources import source
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import Design, build_arm
from convgraft.training import (
    PRESETS,
    FitOptions,
    Rule,
    Task,
    fit,
    frozen_part,
    one_phase,
    stage_runner,
    start_adapters,
    work_out,
)
from convgraft.training.freeze import apply_freeze
from convgraft.training.frozen_part import split_frozen
from convgraft.training.memory_format import fastest_format

OPTIONS = FitOptions(epochs=2, batch_size=50, augment="none")


def trained(design: Design, given: Ingredients, task: Task) -> Composite:
    arm = build_arm(design, given)
    network = compose(arm.plan, arm.sources)
    start_adapters(network, task.pixels("train").images)
    return fit(network, task, arm.policy, OPTIONS, loss=arm.loss).composite


@pytest.mark.parametrize(
    "design",
    [
        Design("probe"),
        Design("ladder", StrategyOptions(head="side")),
        Design("parallel", StrategyOptions(fusion="bilinear"), freeze="heads-only"),
        Design("cross-skip", freeze="adapters-only"),
        Design("stitch"),
        Design("fixed-filters", StrategyOptions(filters="sobel")),
    ],
    ids=lambda design: design.strategy,
)
def test_the_weights_are_those_of_a_fit_without(
    design: Design, given: Ingredients, digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits: list[object] = []

    def noted(held: Composite, images: int) -> object:
        splits.append(split_frozen(held, images))
        return splits[-1]

    monkeypatch.setattr(stage_runner, "split_frozen", noted)
    once = trained(design, given, digits_task)
    assert splits
    assert None not in splits
    monkeypatch.setattr(stage_runner, "split_frozen", lambda held, images: None)
    always = trained(design, given, digits_task)
    for (name, one), other in zip(
        once.state_dict().items(), always.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, msg=name)


class Scaled(nn.Module):
    """Weights of its own in its forward, as in ConvNeXt, and a view that needs its maps plain."""

    def __init__(self, *, view: bool = False) -> None:
        super().__init__()
        self.view = view
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.gamma = nn.Parameter(torch.full((6,), 0.5))
        self.fc = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = x + self.gamma[:, None, None] * self.second(x)
        x = torch.relu(x)
        count = x.shape[0]
        flat = x.view(count, -1).view(count, 6, -1) if self.view else x.flatten(2)
        return self.fc(flat.mean(2))


def test_constants_are_not_taken_for_values_of_images(digits_task: Task) -> None:
    sources = {"a": source(Scaled(), size=8), "b": source(Scaled(), size=8)}
    given = Ingredients(sources, 8, 10)
    design = Design("cross-skip", StrategyOptions(taps="relu"), freeze="adapters-only")
    arm = build_arm(design, given)  # wires before the scaled layer, which so is no longer steady
    network = compose(arm.plan, arm.sources)
    split = split_frozen(apply_freeze(network, work_out(arm.policy, network)), 100)
    assert split is not None  # the weights in the forward do not keep the front from running once
    made = trained(design, given, digits_task)
    assert made.plan.answers == ("label",)


def held(given: Ingredients, policy: object) -> Composite:
    arm = build_arm(Design("parallel"), given)
    network = compose(arm.plan, arm.sources)
    freeze = work_out(policy, network)  # type: ignore[arg-type]
    return apply_freeze(network, freeze)


def test_where_nothing_is_frozen_nothing_is_stored(given: Ingredients) -> None:
    assert split_frozen(held(given, PRESETS["all"]), 100) is None


def test_a_batch_norm_that_keeps_its_statistics_and_learns_is_not_frozen(
    given: Ingredients,
) -> None:
    policy = one_phase("mine", Rule("**", 0.0), Rule("a:bn1", 1.0, statistics=False))
    split = split_frozen(held(given, policy), 100)
    assert split is not None
    targets = {str(node.target) for node in split.front.graph.nodes}
    assert "sources.a.conv1" in targets
    assert "sources.a.bn1" not in targets
    assert "sources.b.layer3" in {target[: len("sources.b.layer3")] for target in targets}


def test_what_does_not_fit_is_not_stored(
    given: Ingredients, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = held(given, PRESETS["heads-only"])
    assert split_frozen(frozen, 10) is not None
    monkeypatch.setattr(frozen_part, "STORE_BYTES", 1000)
    assert split_frozen(frozen, 10) is None


@pytest.mark.parametrize("view", [False, True])
def test_maps_lie_as_the_network_bears_it(view: bool) -> None:
    given = Ingredients({"a": source(Scaled(view=view), size=8)}, 8, 10)
    arm = build_arm(Design("probe"), given)
    expected = torch.contiguous_format if view else torch.channels_last
    assert fastest_format(compose(arm.plan, arm.sources)) is expected
