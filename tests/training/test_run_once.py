"""The frozen part runs once: the same weights as without, and never where it would not be so."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convgraft.cache import Cache, one_pass, writer
from convgraft.compose import Composite, compose
from convgraft.data import Split, augmentation, open_images, split_images
from convgraft.data.seeding import derived_seed
from convgraft.errors import RunError
from convgraft.opening.memory_format import fastest_format
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.studies import Design, build_arm
from convgraft.training import (
    PRESETS,
    FitOptions,
    FreezePolicy,
    Rule,
    Task,
    evaluate,
    evaluate_part,
    fit,
    one_phase,
    start_adapters,
    work_out,
)
from convgraft.training.freeze import apply_freeze
from convgraft.training.run_once import Views, run_once
from helpers import count_calls

OPTIONS = FitOptions(epochs=2, batch_size=50, augment="none", accelerator="cpu")
DIGITS = open_images("digits")
WHOLE = split_images(DIGITS, seed=0, limit=100)
SPLIT = replace(WHOLE, val=WHOLE.val[:30], test=WHOLE.test[:30])
COUNT = 130  # of training and validation


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A small task with a store of its own."""
    return task_of(Cache(tmp_path / "cache", 2**26))


def task_of(cache: Cache | None, split: Split = SPLIT) -> Task:
    return Task(DIGITS, split, 8, cache=cache)


def again(task: Task, **changes: object) -> Task:
    """The same task and store with nothing in memory."""
    return Task(task.images, task.split, task.size, **{"cache": task.cache, **changes})  # type: ignore[arg-type]


def trained(
    design: Design, given: Ingredients, task: Task, options: FitOptions = OPTIONS
) -> Composite:
    arm = build_arm(design, given)
    network = compose(arm.plan, arm.sources)
    start_adapters(network, task.pixels("train").images)
    return fit(network, task, arm.policy, options, loss=arm.loss).composite


def fitted(
    given: Ingredients,
    task: Task,
    policy: FreezePolicy = PRESETS["heads-only"],
    options: FitOptions = OPTIONS,
    checkpoint: Path | None = None,
) -> Composite:
    arm = build_arm(Design("parallel"), given)
    network = compose(arm.plan, arm.sources)
    return fit(network, task, policy, options, checkpoint=checkpoint).composite


def assert_same_weights(
    one: nn.Module, other: nn.Module, rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    for (name, ours), theirs in zip(
        one.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol, msg=name)


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
    design: Design, given: Ingredients, task: Task
) -> None:
    once = trained(design, given, task)
    expected = set() if design.strategy == "fixed-filters" else {COUNT}  # filters cost too little
    assert set(task.computed.values()) == expected
    always = trained(design, given, again(task, cache=None))
    assert_same_weights(once, always, rtol=1e-3, atol=1e-4)
    other = again(task)
    assert_same_weights(trained(design, given, other), once, rtol=0, atol=0)
    assert not any(other.computed.values())


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


def test_constants_are_not_taken_for_values_of_images(task: Task) -> None:
    given = Ingredients({"a": source(Scaled(), size=8), "b": source(Scaled(), size=8)}, 8, 10)
    design = Design("cross-skip", StrategyOptions(taps="relu"), freeze="adapters-only")
    once = trained(design, given, task)
    assert_same_weights(once, trained(design, given, again(task, cache=None)), rtol=1e-3)


def test_a_weight_in_a_forward_that_learns_is_not_frozen(task: Task) -> None:
    given = Ingredients({"a": source(Scaled(), size=8), "b": source(Scaled(), size=8)}, 8, 10)
    policy = one_phase("mine", Rule("**", 0.0), Rule("a:**", 1.0, statistics=False), Rule("heads"))
    start = given.sources["a"].module.get_parameter("gamma")
    once = fitted(given, task, policy)
    assert not torch.equal(once.get_parameter("sources.a.gamma"), start)
    assert_same_weights(once, fitted(given, again(task, cache=None), policy), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("view", [False, True])
def test_maps_lie_as_the_network_bears_it(view: bool) -> None:
    given = Ingredients({"a": source(Scaled(view=view), size=8)}, 8, 10)
    arm = build_arm(Design("probe"), given)
    expected = torch.contiguous_format if view else torch.channels_last
    assert fastest_format(compose(arm.plan, arm.sources)) is expected


class Noisy(nn.Module):
    """Draws random numbers in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.dropout(self.conv(x), 0.5, training=True)
        return self.fc(torch.relu(x).mean((2, 3)))


def test_a_network_that_draws_random_numbers_is_not_stored(task: Task) -> None:
    given = Ingredients({"a": source(Noisy(), size=8)}, 8, 10)
    arm = build_arm(Design("probe"), given)
    network = compose(arm.plan, arm.sources)
    fit(network, task, arm.policy, FitOptions(epochs=1, augment="none"))
    assert not task.computed
    assert "a frozen network draws random numbers" in task.unstored


def test_rounded_precisions_do_not_use_the_store(given: Ingredients, task: Task) -> None:
    network = compose(STRATEGIES["parallel"].write(given), given.sources)
    options = FitOptions(epochs=1, augment="none", precision="bf16-true")
    fit(network, task, PRESETS["heads-only"], options)
    assert not task.computed


def test_without_a_store_or_room_a_fit_runs_on_pixels(given: Ingredients, task: Task) -> None:
    expected = fitted(given, task)
    assert task.cache is not None
    for cache in (None, replace(task.cache, folder=task.cache.folder / "small", limit=10_000)):
        other = again(task, cache=cache)
        assert_same_weights(fitted(given, other), expected)
        assert other.computed == {}


def changed_weight(given: Ingredients) -> Ingredients:
    first = source("cifar_resnet20")
    with torch.no_grad():
        first.module.get_parameter("conv1.weight")[0, 0, 0, 0] += 1e-3
    return replace(given, sources={**given.sources, "a": first})


def changed_preprocessing(given: Ingredients) -> Ingredients:
    other = replace(given.sources["a"].preprocessing, mean=(0.5, 0.5, 0.5))
    first = replace(given.sources["a"], preprocessing=other)
    return replace(given, sources={**given.sources, "a": first})


@pytest.mark.parametrize("change", [changed_weight, changed_preprocessing])
def test_a_change_of_one_network_misses_its_values_alone(
    given: Ingredients, task: Task, change: Callable[[Ingredients], Ingredients]
) -> None:
    fitted(given, task)
    other = again(task)
    fitted(change(given), other)
    assert {name: n for name, n in other.computed.items() if n} == {"a": COUNT}


def test_a_touched_file_dtype_or_policy_misses_the_store(given: Ingredients, task: Task) -> None:
    fitted(given, task)
    assert task.cache is not None
    stamps = DIGITS.stamps
    assert stamps is not None
    touched = replace(
        DIGITS, stamps=lambda rows: [f"{s} new" if "row 7" in s else s for s in stamps(rows)]
    )
    new = sum("row 7" in s for s in stamps((*SPLIT.train, *SPLIT.val)))
    for other, computed in (
        (replace(again(task), images=touched), new),
        (again(task, cache=replace(task.cache, dtype="bfloat16")), COUNT),
        (again(task), 0),
    ):
        fitted(given, other)
        assert new
        assert other.computed.get("a", 0) == computed
    learns = again(task)
    fitted(given, learns, one_phase("mine", Rule("a:**", 0.1), Rule("b:**", 0.0)))
    assert "a" not in learns.computed
    everything = again(task)
    fitted(given, everything, PRESETS["all"])
    assert everything.computed == {}


@pytest.mark.parametrize(
    ("dtype", "within"), [("float16", 2e-3), ("bfloat16", 2e-2), ("int8", 0.03)]
)
def test_a_smaller_store_trains_to_about_the_same(
    given: Ingredients, task: Task, dtype: str, within: float
) -> None:
    assert task.cache is not None
    exact = fitted(given, task)
    small = fitted(given, again(task, cache=replace(task.cache, dtype=dtype)))
    test = task.pixels("test").images
    with torch.inference_mode():
        one, other = exact(test)["label"], small(test)["label"]
    assert 0 < (one - other).abs().max() < within * one.abs().max()


def test_evaluation_reads_the_store_and_finds_the_same(given: Ingredients, task: Task) -> None:
    network = fitted(given, task)
    frozen = ("sources.a", "sources.b")
    found = evaluate_part(network, task, "test", frozen, reader="me")
    assert task.test_reads == ["me"]
    assert task.computed == {"a": COUNT + 30, "b": COUNT + 30}
    plain = evaluate(network, task.pixels("test"))
    assert found["label"].top1 == plain["label"].top1
    assert found["label"].nll == pytest.approx(plain["label"].nll, rel=1e-4)
    one_learned = again(task)
    mixed = evaluate_part(network, one_learned, "test", ("sources.a",), reader="me")
    assert one_learned.test_reads == ["me"]
    assert mixed["label"].nll == pytest.approx(plain["label"].nll, rel=1e-4)


def test_a_frozen_phase_runs_on_the_store_and_another_on_pixels(
    given: Ingredients, task: Task
) -> None:
    arm = build_arm(Design("parallel"), given)

    def calls_of(policy: FreezePolicy, epochs: int) -> int:
        network = compose(arm.plan, arm.sources)
        calls = count_calls(network.get_submodule("sources.a.conv1"))
        fit(network, again(task), policy, replace(OPTIONS, epochs=epochs))
        return calls()

    fitted(given, task)
    frozen = [calls_of(PRESETS["heads-only"], epochs) for epochs in (1, 4)]
    assert frozen[0] == frozen[1]
    whole = [calls_of(PRESETS["lp-ft"], epochs) for epochs in (2, 4)]
    steps = whole[1] - whole[0]
    assert steps in (3, 6)  # of training and validation, in the further epochs of one phase
    assert whole[0] > frozen[0]


def test_a_resumed_fit_ends_in_the_same_weights(
    given: Ingredients, task: Task, tmp_path: Path
) -> None:
    policy = PRESETS["lp-ft"]
    whole = fitted(given, task, policy)

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 3:
            raise StopError

    arm = build_arm(Design("parallel"), given)
    state = tmp_path / "state.ckpt"
    with pytest.raises(StopError):
        fit(compose(arm.plan, arm.sources), again(task), policy, OPTIONS, checkpoint=state,
            on_progress=stop)  # fmt: skip
    assert state.exists()
    assert_same_weights(fitted(given, again(task), policy, checkpoint=state), whole)


def test_damaged_rows_do_not_change_the_result(given: Ingredients, task: Task) -> None:
    expected = fitted(given, task)
    assert task.cache is not None
    for path in task.cache.folder.rglob("rows.bin"):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 255
        path.write_bytes(data)
    other = again(task)
    assert_same_weights(fitted(given, other), expected)
    assert set(other.computed) == {"a", "b"}


def test_a_full_disk_is_an_error_that_says_so(
    given: Ingredients, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, rows: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_all", full)
        with pytest.raises(RunError, match="the disk is full"):
            fitted(given, task)
    assert task.cache is not None
    assert task.cache.entries() == ()
    assert not list(task.cache.folder.rglob("rows.bin"))


AUGMENTED = replace(OPTIONS, augment="digits", views=2, epochs=2)


def held(given: Ingredients, policy: FreezePolicy) -> Composite:
    arm = build_arm(Design("parallel"), given)
    network = compose(arm.plan, arm.sources)
    return apply_freeze(network, work_out(policy, network))


def test_views_take_turns_and_differ(given: Ingredients, task: Task) -> None:
    once = run_once(held(given, PRESETS["heads-only"]), task, COUNT)
    assert once is not None
    data = once.data("train", Views("digits", 2))
    assert data is not None
    assert data.views == 2
    rows, seen = torch.arange(20), []
    for epoch in range(4):
        data.set_epoch(epoch)
        seen.append(data.inputs(rows)[0])
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.allclose(seen[0], seen[1])
    plain = once.data("val")
    assert plain is not None
    assert plain.views == 1


def test_seeds_share_views_and_validation_is_not_augmented(given: Ingredients, task: Task) -> None:
    fitted(given, task, options=AUGMENTED)
    assert task.computed == {"a": 230, "b": 230}  # 2 * 100 and 30
    other = again(task)
    fitted(given, other, options=replace(AUGMENTED, seed=1))
    assert not any(other.computed.values())
    evaluate_part(held(given, PRESETS["heads-only"]), other, "val", ("sources.a", "sources.b"))
    assert not any(other.computed.values())


def test_what_learns_sees_the_view_that_was_stored(given: Ingredients, task: Task) -> None:
    policy = one_phase("mine", Rule("**", 1.0), Rule("a:**", 0.0))
    network = held(given, policy)
    once = run_once(network, task, COUNT)
    assert once is not None
    assert once.frontier.reads_image
    data = once.data("train", Views("digits", 2))
    assert data is not None
    augment = augmentation("digits", 8)
    assert augment is not None
    whole = network.eval()
    for epoch, rows in ((0, torch.tensor([3, 0, 50])), (1, torch.tensor([7, 99]))):
        data.set_epoch(epoch)
        (value, pixels), labels = data.batch(rows)
        expected = []
        for row in rows.tolist():
            name = DIGITS.ids[SPLIT.train[row]]
            number = int.from_bytes(blake2b(name.encode(), digest_size=7).digest())
            torch.manual_seed(derived_seed(epoch, number))
            expected.append(augment(DIGITS.read(SPLIT.train[row])))
        assert torch.equal(pixels, torch.stack(expected))
        assert labels[""].tolist() == [DIGITS.labels[SPLIT.train[row]] for row in rows]
        with torch.inference_mode():
            answer = once.network.eval()(value, pixels)["label"]
            torch.testing.assert_close(answer, whole(pixels)["label"], rtol=1e-4, atol=1e-5)


def test_pixels_stay_beside_their_values_where_images_are_broken(
    given: Ingredients, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image whose value is stored, and that cannot be read any more, shifts no other."""
    monkeypatch.setattr(one_pass, "FEW", 10**9)
    network = held(given, one_phase("mine", Rule("**", 1.0), Rule("a:**", 0.0)))
    once = run_once(network, task, COUNT)
    assert once is not None
    assert once.data("train") is not None
    gone = SPLIT.train[5]

    def broken(index: int) -> object:
        if index == gone:
            raise OSError(errno.EIO, "gone")
        return DIGITS.source(index)

    later = Task(replace(DIGITS, source=broken), SPLIT, 8, cache=task.cache)  # type: ignore[arg-type]
    assert task.cache is not None
    pixel_stores = [e.key for e in task.cache.entries() if "decoded" in str(e)]
    task.cache.clear(pixel_stores)
    again_once = run_once(network, later, COUNT)
    assert again_once is not None
    data = again_once.data("train")
    assert data is not None
    assert len(data) == 99
    kept = [index for index in SPLIT.train if index != gone]
    pixels = data.batch(torch.arange(99))[0][1]
    assert torch.equal(pixels, torch.stack([DIGITS.read(index) for index in kept]))
    assert data.labels.tolist() == DIGITS.labels[kept].tolist()
