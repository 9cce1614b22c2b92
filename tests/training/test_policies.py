"""Freeze policies: their presets, phases, rates by depth, kept statistics, shares of the decay."""

from __future__ import annotations

import json

import pytest
import torch

from convgraft.compose import Composite, compose
from convgraft.errors import UsageError
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.training import (
    PRESETS,
    FitOptions,
    FreezePolicy,
    Phase,
    Rule,
    Task,
    fit,
    one_phase,
    work_out,
)
from convgraft.training.freeze import work_out_phases
from convgraft.training.optimisers import parameter_groups
from helpers import small

PARTS = {
    "low": "sources.a.layer1.0.conv1.weight",
    "high": "sources.a.layer3.0.conv2.weight",
    "adapter": "adapters.a:layer1->b:layer1.gate.scale",
    "head": "heads.label.classifier.weight",
}


@pytest.fixture
def composite() -> Composite:
    sources = {"a": small(), "b": small(1)}
    given = Ingredients(sources, 8, 10, StrategyOptions(adapter="conv1x1"))
    return compose(STRATEGIES["cross-skip"].write(given), sources)


@pytest.mark.parametrize(
    ("preset", "phases"),
    [
        ("heads-only", [(0, 0, 0, 1)]),
        ("adapters-only", [(0, 0, 1, 1)]),
        ("discriminative", [(0.1, 0.1, 1, 1)]),
        ("frozen-statistics", [(0.1, 0.1, 1, 1)]),
        ("all", [(1, 1, 1, 1)]),
        ("lp-ft", [(0, 0, 0, 1), (0.1, 0.1, 1, 1)]),
        ("gradual", [(0, 0, 1, 1), (0, 0.1, 1, 1), (0.1, 0.1, 1, 1)]),
    ],
)
def test_what_learns_in_each_phase(
    preset: str, phases: list[tuple[float, ...]], composite: Composite
) -> None:
    found = work_out_phases(PRESETS[preset], composite)
    rates = [tuple(freeze.rates[name] for name in PARTS.values()) for freeze in found]
    assert rates == [pytest.approx(phase) for phase in phases]
    assert [phase.name for phase in PRESETS[preset].phases] == list(
        {"lp-ft": ("probe", "finetune"), "gradual": ("added parts", "upper half", "all")}.get(
            preset, (preset,)
        )
    )


def test_every_preset_is_a_policy_under_its_name() -> None:
    assert {name: policy.name for name, policy in PRESETS.items()} == {n: n for n in PRESETS}


def test_layer_decay_follows_depth_not_the_number_of_trainable_weights(
    composite: Composite,
) -> None:
    depths = composite.resolved.checked.surveys["a"].depth_of
    for policy in (PRESETS["layer-decay"], one_phase("x", Rule("**", 0.3, depth_decay=0.75))):
        rates = work_out(policy, composite).rates
        for layer in ("layer1.0.conv1", "layer2.0.bn2", "layer3.0.conv2"):
            naive = 0.3 * 0.75 ** (12 * (1 - depths[layer]))
            assert rates[f"sources.a.{layer}.weight"] == pytest.approx(naive)
    held = Rule("a:layer2*", 0.0)
    fewer = work_out(one_phase("x", Rule("**", 0.3, depth_decay=0.75), held), composite).rates
    assert fewer[PARTS["low"]] == rates[PARTS["low"]] < rates[PARTS["high"]] < 0.3


def test_kept_statistics_stand_still_while_their_weights_move(
    composite: Composite, digits_task: Task
) -> None:
    before = {name: tensor.clone() for name, tensor in composite.state_dict().items()}
    result = fit(composite, digits_task, PRESETS["frozen-statistics"], FitOptions(1, 50))
    after = result.composite.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    for norm in ("sources.a.bn1", "sources.b.layer3.0.bn2"):
        assert f"{norm}.weight" in moved
        assert not {f"{norm}.running_mean", f"{norm}.running_var"} & moved
    assert "heads.label.norm.running_mean" in moved


def test_the_best_epochs_weights_come_back_where_statistics_are_kept(
    composite: Composite, digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convgraft.training.module import FitModule

    states: list[dict[str, torch.Tensor]] = []

    def score(self: FitModule) -> None:
        self.scores["label"] = {"top1": 1.0 - self.current_epoch, "nll": 1.0}
        states.append({n: t.clone() for n, t in self.composite.state_dict().items()})

    monkeypatch.setattr(FitModule, "on_validation_epoch_end", score)
    result = fit(composite, digits_task, PRESETS["frozen-statistics"], FitOptions(2, 50))
    after = result.composite.state_dict()
    assert result.best_epoch == 0
    assert [name for name in after if not torch.equal(after[name], states[0][name])] == []


def test_decay_shares_and_rates_reach_the_optimiser(composite: Composite) -> None:
    policy = one_phase(
        "mine", Rule("**", 0.1, weight_decay=0.5), Rule("a:layer1*", 0.0), Rule("heads", 2.0, 0.0)
    )
    options = FitOptions(1, lr=1e-2, weight_decay=0.04)
    groups = parameter_groups(composite, work_out(policy, composite), options)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    of = {name: found.get(id(p)) for name, p in composite.named_parameters()}
    assert of["sources.a.layer1.0.conv1.weight"] is None
    assert of["sources.b.layer1.0.conv1.weight"] == pytest.approx((1e-3, 0.02))
    assert of["sources.b.layer1.0.bn1.weight"] == pytest.approx((1e-3, 0.0))
    assert of["heads.label.classifier.weight"] == pytest.approx((2e-2, 0.0))
    assert of["adapters.a:layer1->b:layer1.mix.weight"] == pytest.approx((1e-2, 0.04))


def test_a_phase_says_what_differs_from_the_fits_options() -> None:
    given = FitOptions(9, 16, lr=0.5, weight_decay=0.1, schedule="one-cycle")
    assert Phase("x", ()).options(given, 3) == FitOptions(
        3, 16, lr=0.5, weight_decay=0.1, schedule="one-cycle"
    )
    own = Phase("x", (), lr=0.1, weight_decay=0.0, schedule="constant").options(given, 2)
    assert (own.epochs, own.rate, own.weight_decay, own.schedule) == (2, 0.1, 0.0, "constant")
    # another optimiser has another scale of rates: the fit's is not for it
    assert (
        Phase("x", (), optimiser="sgd").options(given, 1).rate == FitOptions(optimiser="sgd").rate
    )
    assert Phase("x", (), optimiser="adamw").options(given, 1).rate == 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_as_data_and_back(preset: str) -> None:
    policy = PRESETS[preset]
    assert FreezePolicy.from_data(preset, json.loads(json.dumps(policy.as_data()))) == policy


def test_all_of_a_phase_is_in_its_data() -> None:
    phase = Phase("x", (Rule("a:**", 0.5, 0.1, 0.9, False),), 3, 0.1, 0.2, "sgd", "constant")
    policy = FreezePolicy("mine", (phase, Phase("y", (Rule("**"),))))
    assert FreezePolicy.from_data("mine", json.loads(json.dumps(policy.as_data()))) == policy


def test_a_phase_in_which_nothing_learns_is_named(composite: Composite) -> None:
    rules = (Rule("**", 0.0), Rule("heads", 0.0), Rule("adapters", 0.0))
    policy = FreezePolicy("mine", (Phase("warm", (Rule("**"),)), Phase("cold", rules)))
    with pytest.raises(UsageError, match='phase "cold"'):
        work_out_phases(policy, composite)


def test_a_rule_for_parts_that_a_plan_does_without_is_no_mistake() -> None:
    sources = {"a": small()}
    plain = compose(STRATEGIES["probe"].write(Ingredients(sources, 8, 10)), sources)
    assert work_out(one_phase("mine", ("**", 0.1), ("joins", 1.0), ("heads", 1.0)), plain)
    with pytest.raises(UsageError, match=r"c:\*\*"):
        work_out(one_phase("mine", ("c:**", 0.1)), plain)
