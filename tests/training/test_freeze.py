"""Promise 5: frozen means frozen, whatever calls `train()`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from convgraft.compose import Composite, compose
from convgraft.data import open_images, split_images
from convgraft.errors import PlanError, UsageError
from convgraft.strategies import LOSSES, STRATEGIES, Ingredients
from convgraft.studies import Arm, Design, build_arm
from convgraft.training import (
    PRESETS,
    FitOptions,
    FitResult,
    Task,
    fit,
    one_phase,
    read_policy,
    work_out,
)
from convgraft.training.freeze import apply_freeze
from convgraft.training.stages import plan_stages
from helpers import small

NOTHING_LEARNS = {
    # these presets keep the adapter from what the default loss of a stitch is about
    ("stitch", "heads-only"),
    ("stitch", "lp-ft"),
}
FITS = {
    # for each loss, a plan that it fits
    "task": "multitask",
    "mse": "stitch",
    "final": "stitch",
    "two-stage": "stitch",
    "co-learning": "cross-skip",
    "distil": "distil",
}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Sixty digits, and whether each is odd; of some that is not known."""
    file = tmp_path_factory.mktemp("labels") / "map.yaml"
    file.write_text("parity: {0: even, 1: odd, 2: even, 3: odd, 4: even, 5: odd}\n")
    images = open_images("digits", label_map=file)
    return Task(images, split_images(images, seed=0, limit=60), 8)


def designed(design: Design) -> Arm:
    """The arm of a design, from two small networks."""
    columns = {"parity": 2} if design.strategy == "multitask" else {}
    given = Ingredients({"a": small(), "b": small(1)}, 8, 10, columns=columns)
    return build_arm(design, given)


def hashes(composite: Composite) -> dict[str, str]:
    return {
        name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
        for name, tensor in composite.state_dict().items()
    }


def frozen_tensors(composite: Composite, arm: Arm, options: FitOptions) -> set[str]:
    """Weights that are frozen in every stage, and buffers that every stage holds."""
    assert arm.loss is not None
    frozen = set(composite.state_dict())
    for stage in plan_stages(composite, arm.policy, arm.loss, options):
        weights, held = stage.freeze.rates, stage.freeze.held
        frozen -= {
            n for n in frozen if (weights[n] if n in weights else n.rpartition(".")[0] not in held)
        }
    return frozen


def trained(arm: Arm, task: Task) -> tuple[FitResult, dict[str, str], set[str]]:
    """What a fit gave, the hashes before it, and what was frozen all the time."""
    composite = compose(arm.plan, arm.sources)
    options = FitOptions(epochs=4 if len(arm.policy.phases) > 1 else 2, batch_size=30)
    frozen, before = frozen_tensors(composite, arm, options), hashes(composite)
    return fit(composite, task, arm.policy, options, loss=arm.loss), before, frozen


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("preset", PRESETS)
def test_frozen_tensors_are_equal_by_hash_after_fit(strategy: str, preset: str, task: Task) -> None:
    arm = designed(Design(strategy, freeze=preset))
    if (strategy, preset) in NOTHING_LEARNS:
        with pytest.raises(UsageError, match="nothing that learns"):
            trained(arm, task)
        return
    result, before, frozen = trained(arm, task)
    after = hashes(result.composite)
    assert {name for name in after if name in frozen and before[name] != after[name]} == set()
    assert any(before[name] != after[name] for name in after if name not in frozen)
    if preset in ("heads-only", "adapters-only"):
        assert {n for n in before if n.startswith("sources.")} <= frozen


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_leaves_what_is_frozen_alone(loss: str, task: Task) -> None:
    arm = designed(Design(FITS[loss], loss=loss))
    result, before, frozen = trained(arm, task)
    after = hashes(result.composite)
    assert {name for name in after if name in frozen and before[name] != after[name]} == set()
    assert any(before[name] != after[name] for name in after if name not in frozen)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if FITS[loss] in ("stitch", "distil")])
def test_teachers_are_frozen_whatever_the_policy_says(loss: str, task: Task) -> None:
    arm = designed(Design(FITS[loss], freeze="all", loss=loss))
    assert arm.loss is not None
    composite = compose(arm.plan, arm.sources)
    before = hashes(composite)
    fit(composite, task, arm.policy, FitOptions(2, 30), loss=arm.loss)
    after = hashes(composite)  # trained in place; the result has no teacher any more
    places = tuple(f"sources.{name}." for name in arm.loss.teachers)
    teachers = {name for name in before if name.startswith(places)}
    assert teachers
    assert {name for name in teachers if before[name] != after[name]} == set()
    assert any(before[n] != after[n] for n in before if n.startswith("sources.a."))


@pytest.mark.parametrize("learn", [False, True])
def test_filters_learn_when_asked(learn: bool, task: Task) -> None:
    arm = designed(Design("fixed-filters", learn_filters=learn))
    result, before, _ = trained(arm, task)
    after = hashes(result.composite)
    moved = {name for name in after if before[name] != after[name]}
    filters = {"sources.filters_a.filter.weight", "sources.filters_b.filter.weight"}
    assert filters & moved == (filters if learn else set())
    assert not {name for name in moved if name.startswith(("sources.a.", "sources.b."))}


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
def test_tasks_that_are_balanced_leave_what_is_frozen_alone(balance: str, task: Task) -> None:
    arm = designed(Design("multitask", freeze="all", balance=balance))
    result, before, frozen = trained(arm, task)
    after = hashes(result.composite)
    assert {name for name in frozen if before[name] != after[name]} == set()
    assert all(len(epoch["shares"]) == 2 for epoch in result.curve)


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
    policy = one_phase("mine", ("depth:0..0.4", 0.0), ("b:**", 0.5), ("!a:**, !b:layer1", 0.25))
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
        work_out(
            one_phase(
                "mine",
                ("a:leyer1", 0.0),
            ),
            composite,
        )


def test_a_policy_under_which_nothing_learns_is_refused(given: Ingredients) -> None:
    composite = compose(STRATEGIES["parallel"].write(given), given.sources)
    with pytest.raises(UsageError, match="nothing learns"):
        work_out(one_phase("mine", ("**", 0.0), ("heads", 0.0)), composite)
