"""Promise 5: frozen means frozen, whatever calls `train()`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from convgraft.compose import Composite, compose
from convgraft.errors import PlanError, UsageError
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, FreezePolicy, Task, fit, one_phase, read_policy, work_out
from convgraft.training.freeze import apply_freeze


def hashes(composite: Composite) -> dict[str, str]:
    return {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in composite.state_dict().items()
    }


def frozen_tensors(composite: Composite, policy: FreezePolicy) -> set[str]:
    """Frozen weights, and every tensor of held modules."""
    freeze = work_out(policy, composite)
    held = {n for n in composite.state_dict() if n.rpartition(".")[0] in freeze.held}
    return held | set(freeze.frozen)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("preset", PRESETS)
def test_frozen_tensors_are_equal_by_hash_after_fit(
    strategy: str, preset: str, given: Ingredients, digits_task: Task
) -> None:
    composite = compose(STRATEGIES[strategy].write(given), given.sources)
    policy = PRESETS[preset]
    frozen = frozen_tensors(composite, policy)
    before = hashes(composite)
    result = fit(composite, digits_task, policy, FitOptions(epochs=1, batch_size=50))
    after = hashes(result.composite)
    assert {name for name in frozen if before[name] != after[name]} == set()
    assert any(before[name] != after[name] for name in before if name not in frozen)
    if preset in ("heads-only", "adapters-only"):
        assert {n for n in before if n.startswith("sources.")} <= frozen


def test_every_trainable_weight_learns_where_everything_is_open(
    given: Ingredients, digits_task: Task
) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    before = hashes(composite)
    result = fit(composite, digits_task, PRESETS["all"], FitOptions(epochs=1, batch_size=50))
    after = hashes(result.composite)
    assert [n for n, _ in result.composite.named_parameters() if before[n] == after[n]] == []


def test_batch_norm_of_a_frozen_part_ignores_train(given: Ingredients) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    policy = one_phase("mine", ("a:layer1*", 0.0), ("a:bn1", 0.0))
    frozen = apply_freeze(composite, work_out(policy, composite))
    frozen.train().train(True)
    norm = frozen.get_submodule("sources.a.layer1.0.bn1")
    before = norm.running_mean.clone()
    frozen(torch.rand(4, 3, 8, 8))
    assert torch.equal(norm.running_mean, before)
    assert not norm.training
    assert frozen.get_submodule("sources.a.layer2.0.bn1").training


def test_freezing_all_weights_of_a_batch_norm_holds_its_statistics(given: Ingredients) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    freeze = work_out(one_phase("mine", ("a:**.bn1.*", 0.0)), composite)
    assert "sources.a.layer1.0.bn1" in freeze.held
    assert "sources.a.layer1.0.bn2" not in freeze.held


def test_rules_by_depth_kind_and_exclusion(given: Ingredients) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    policy = one_phase(
        "mine", ("depth:0..0.4", 0.0), ("b:**", 0.5), ("!a:**, !b:layer1", 0.25)
    )
    freeze = work_out(policy, composite)
    assert freeze.rates["sources.a.conv1.weight"] == 0
    assert freeze.rates["sources.a.layer3.2.conv1.weight"] == 1
    assert freeze.rates["sources.b.layer1.0.conv1.weight"] == 0.5
    assert freeze.rates["sources.b.layer3.0.conv1.weight"] == 0.25


def test_a_policy_file(tmp_path: Path, given: Ingredients) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"**": 0.1\n"a:layer1*": frozen\nheads: 2\n')
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    freeze = work_out(read_policy(str(file)), composite)
    assert freeze.rates["sources.a.layer1.0.conv1.weight"] == 0
    assert freeze.rates["sources.b.layer1.0.conv1.weight"] == 0.1
    assert freeze.rates["heads.label.classifier.weight"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"**": half\n', "1:7"),
        ('"**": 0.1\n"kind:blok": frozen\n', "2:1"),
        ("- 1\n", "mapping"),
    ],
)
def test_policy_files_say_where_they_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(PlanError, match=message):
        read_policy(str(file))


def test_a_rule_that_selects_nothing_is_a_mistake(given: Ingredients) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    with pytest.raises(UsageError, match=r"a:leyer1"):
        work_out(one_phase("mine", ("a:leyer1", 0.0),), composite)


def test_a_policy_under_which_nothing_learns_is_refused(given: Ingredients) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    with pytest.raises(UsageError, match="nothing learns"):
        work_out(one_phase("mine", ("**", 0.0), ("heads", 0.0)), composite)
