"""The fit: reproducible, resumable, chosen on validation, and told in plain words when it fails."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convgraft.compose import Composite, compose
from convgraft.data import PixelDataset, open_images, split_images
from convgraft.errors import RunError, UsageError
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.training import (
    PRESETS,
    FitOptions,
    FitResult,
    Task,
    evaluate,
    fit,
    one_phase,
)
from convgraft.training.module import FitModule
from convgraft.training.optimisers import cosine
from convgraft.training.stopping import Checkpoint

OPTIONS = FitOptions(epochs=3, batch_size=32, augment="digits", seed=3)


def digest(composite: Composite) -> str:
    parts = (tensor.numpy().tobytes() for tensor in composite.state_dict().values())
    return hashlib.sha256(b"".join(parts)).hexdigest()


def train(given: Ingredients, task: Task, options: FitOptions, **extra: object) -> FitResult:
    composite = compose(STRATEGIES["cross-skip"].write(given), given.sources, seed=options.seed)
    return fit(composite, task, PRESETS["discriminative"], options, **extra)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def reference(given: Ingredients, digits_task: Task) -> FitResult:
    return train(given, digits_task, OPTIONS)


def test_same_seed_same_weights(
    reference: FitResult, given: Ingredients, digits_task: Task
) -> None:
    torch.manual_seed(99)  # what went on before does not matter
    assert digest(train(given, digits_task, OPTIONS).composite) == digest(reference.composite)


def test_another_seed_other_weights(
    reference: FitResult, given: Ingredients, digits_task: Task
) -> None:
    other = train(given, digits_task, FitOptions(3, 32, augment="digits", seed=4))
    assert digest(other.composite) != digest(reference.composite)


class PowerCutError(Exception):
    """Ends a fit right after a checkpoint."""


@pytest.mark.parametrize("epochs_done", [1, 2])
def test_a_fit_that_was_cut_off_ends_in_the_same_weights(
    epochs_done: int,
    reference: FitResult,
    given: Ingredients,
    digits_task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Checkpoint.on_train_epoch_end

    def cut_off(self: Checkpoint, trainer: object, module: object) -> None:
        write(self, trainer, module)  # type: ignore[arg-type]
        if trainer.current_epoch + 1 == epochs_done:  # type: ignore[attr-defined]
            raise PowerCutError

    monkeypatch.setattr(Checkpoint, "on_train_epoch_end", cut_off)
    with pytest.raises(PowerCutError):
        train(given, digits_task, OPTIONS, checkpoint=tmp_path / "x.ckpt")
    monkeypatch.undo()
    torch.manual_seed(12345)
    resumed = train(given, digits_task, OPTIONS, checkpoint=tmp_path / "x.ckpt")
    assert digest(resumed.composite) == digest(reference.composite)
    assert resumed.curve == reference.curve
    assert len(resumed.curve) == OPTIONS.epochs


def test_dropout_goes_on_where_it_was_cut_off(
    given: Ingredients, digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = replace(given, options=StrategyOptions(dropout=0.3))
    options = replace(OPTIONS, epochs=2, augment="none")
    whole = train(dropping, digits_task, options)
    write = Checkpoint.on_train_epoch_end

    def cut_off(self: Checkpoint, trainer: object, module: object) -> None:
        write(self, trainer, module)  # type: ignore[arg-type]
        raise PowerCutError

    monkeypatch.setattr(Checkpoint, "on_train_epoch_end", cut_off)
    with pytest.raises(PowerCutError):
        train(dropping, digits_task, options, checkpoint=tmp_path / "x.ckpt")
    monkeypatch.undo()
    resumed = train(dropping, digits_task, options, checkpoint=tmp_path / "x.ckpt")
    assert digest(resumed.composite) == digest(whole.composite)


def test_half_precision_is_saved_as_it_was_tested(given: Ingredients, digits_task: Task) -> None:
    result = train(given, digits_task, FitOptions(1, 50, precision="bf16-true", accelerator="cpu"))
    floating = [t for t in result.composite.state_dict().values() if t.is_floating_point()]
    assert {tensor.dtype for tensor in floating} == {torch.float32}


def test_a_precision_that_would_become_another_one_is_refused(
    given: Ingredients, digits_task: Task
) -> None:
    with pytest.raises(UsageError, match='precision "16-mixed" is not to be had') as told:
        train(given, digits_task, FitOptions(1, 50, precision="16-mixed", accelerator="cpu"))
    assert "bf16-mixed" in (told.value.hint or "")


def test_checkpoints_load_without_unpickling_objects(
    given: Ingredients, digits_task: Task, tmp_path: Path
) -> None:
    train(given, digits_task, FitOptions(1, 50), checkpoint=tmp_path / "x.ckpt")
    assert "state_dict" in torch.load(tmp_path / "x.ckpt", weights_only=True)


def test_what_is_not_frozen_trains_in_training_mode(
    given: Ingredients, digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[dict[str, bool]] = []
    step = FitModule.training_step

    def note(self: FitModule, *batch: object) -> torch.Tensor:
        modes.append({name: part.training for name, part in self.composite.named_modules()})
        return step(self, *batch)  # type: ignore[arg-type]

    monkeypatch.setattr(FitModule, "training_step", note)
    options = Ingredients(given.sources, 8, 10, StrategyOptions(hidden=(8,), dropout=0.5))
    composite = compose(STRATEGIES["parallel"].write(options), options.sources)
    before = {name: tensor.clone() for name, tensor in composite.state_dict().items()}
    policy = one_phase("mine", ("a:**", 0.0))
    result = fit(composite.eval(), digits_task, policy, FitOptions(2, 50))
    after = result.composite.state_dict()
    for mode in modes:
        assert mode["sources.b.bn1"] and mode["heads.label.layers.dropout0"] and mode[""]
        assert not mode["sources.a.bn1"]
    moved = {n for n in before if "running_mean" in n and not torch.equal(before[n], after[n])}
    assert {"sources.b.bn1.running_mean", "heads.label.norm.running_mean"} <= moved
    assert not any(name.startswith("sources.a.") for name in moved)


def test_a_fit_that_ran_out_of_patience_is_not_taken_further(
    given: Ingredients, digits_task: Task, tmp_path: Path
) -> None:
    options = FitOptions(9, 50, lr=1e-9, patience=1, schedule="constant")
    first = train(given, digits_task, options, checkpoint=tmp_path / "x.ckpt")
    again = train(given, digits_task, options, checkpoint=tmp_path / "x.ckpt")
    assert len(first.curve) < 9
    assert again.curve == first.curve
    assert digest(again.composite) == digest(first.composite)
    assert again.seconds == first.seconds


@pytest.mark.parametrize(
    ("top1", "nll", "best"),
    [
        ((0.5, 0.9, 0.7), (1.0, 1.0, 1.0), 1),
        ((0.9, 0.9, 0.9), (0.5, 0.3, 0.4), 1),
        ((0.9, 0.9, 0.7), (0.3, 0.3, 0.1), 0),
    ],
)
def test_the_best_epoch_by_validation_is_kept(
    top1: tuple[float, ...],
    nll: tuple[float, ...],
    best: int,
    given: Ingredients,
    digits_task: Task,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states: list[str] = []

    def score(self: FitModule) -> None:
        epoch = self.current_epoch
        self.scores["label"] = {"top1": top1[epoch], "nll": nll[epoch]}
        states.append(digest(self.composite))

    monkeypatch.setattr(FitModule, "on_validation_epoch_end", score)
    result = train(given, digits_task, FitOptions(3, 50))
    assert result.best_epoch == best
    assert len(set(states)) == 3
    assert digest(result.composite) == states[best]


def test_the_kept_weights_score_what_the_curve_says(
    reference: FitResult, digits_task: Task
) -> None:
    told = reference.curve[reference.best_epoch]["val"]["label"]
    kept = evaluate(reference.composite, digits_task.pixels("val"))["label"]
    assert kept.top1 == pytest.approx(told["top1"], abs=1e-6)
    assert kept.nll == pytest.approx(told["nll"], abs=1e-4)


def test_it_learns(given: Ingredients, digits_task: Task) -> None:
    options = FitOptions(epochs=8, batch_size=20, lr=5e-3)
    result = train(given, digits_task, options)
    assert result.curve[-1]["train_loss"] < 0.6 * result.curve[0]["train_loss"]
    assert max(e["val"]["label"]["top1"] for e in result.curve) > 0.3  # chance is 0.1


def test_every_epoch_has_its_own_order_and_its_own_augmentation(
    given: Ingredients, digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    read = PixelDataset.__getitem__

    def note(self: PixelDataset, key: tuple[int, int]) -> object:
        if self._augment is not None:
            asked.append(key)
        return read(self, key)

    monkeypatch.setattr(PixelDataset, "__getitem__", note)
    train(given, digits_task, FitOptions(2, 50, augment="digits"))
    orders = [[row for epoch, row in asked if epoch == number] for number in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(100))
    assert orders[0] != orders[1]


def test_the_test_part_is_not_touched_by_a_fit(given: Ingredients) -> None:
    images = open_images("digits")
    task = Task(images, split_images(images, seed=0, limit=50), 8)
    train(given, task, FitOptions(1, 25))
    assert task.test_reads == []
    assert set(task._pixels) == {"train", "val"}


def test_patience_stops_early(given: Ingredients, digits_task: Task) -> None:
    result = train(given, digits_task, FitOptions(9, 50, lr=1e-9, patience=1, schedule="constant"))
    assert len(result.curve) < 9


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant"])
def test_every_optimiser_and_schedule_runs(
    optimiser: str, schedule: str, given: Ingredients, digits_task: Task
) -> None:
    options = FitOptions(1, 50, optimiser=optimiser, schedule=schedule, label_smoothing=0.1)
    assert len(train(given, digits_task, options).curve) == 1


def test_a_schedule_changes_the_rate() -> None:
    rates = [cosine(step, 100) for step in range(101)]
    assert rates[0] < rates[4] < rates[5]
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_a_loss_that_is_no_number_stops_the_fit(given: Ingredients, digits_task: Task) -> None:
    with pytest.raises(RunError, match="--lr"):
        train(given, digits_task, FitOptions(2, 50, lr=1e30, optimiser="sgd"))


def test_workers_do_not_change_the_result(
    reference: FitResult, given: Ingredients, digits_task: Task
) -> None:
    options = FitOptions(3, 32, augment="digits", seed=3, workers=2)
    assert digest(train(given, digits_task, options).composite) == digest(reference.composite)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch size"),
        ({"lr": -1.0}, "learning rate"),
        ({"optimiser": "adam"}, "adamw"),
        ({"schedule": "cosin"}, "cosine"),
        ({"label_smoothing": 1.0}, "label smoothing"),
        ({"patience": 0}, "patience"),
        ({"weight_decay": -1}, "weight decay is a number, 0 or more"),
        ({"weight_decay": float("nan")}, "weight decay is a number, 0 or more"),
        ({"workers": -1}, "negative"),
        ({"accelerator": "gpuu"}, "did you mean gpu"),
        ({"precision": "foo"}, "bf16-mixed"),
    ],
)
def test_options_that_make_no_sense(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FitOptions(**settings)  # type: ignore[arg-type]


def test_a_network_for_another_number_of_classes(given: Ingredients, digits_task: Task) -> None:
    other = Ingredients(given.sources, 8, 7)
    composite = compose(STRATEGIES["parallel"].write(other), other.sources)
    with pytest.raises(UsageError, match="7 classes"):
        fit(composite, digits_task, PRESETS["all"], FitOptions(1))


def test_a_batch_of_one() -> None:
    with pytest.raises(UsageError, match="one image"):
        FitOptions(1, 1)


def test_a_last_batch_of_one_is_left_out(given: Ingredients) -> None:
    images = open_images("digits")
    task = Task(images, split_images(images, seed=0, limit=51), 8)
    assert len(train(given, task, FitOptions(1, 50)).curve) == 1
