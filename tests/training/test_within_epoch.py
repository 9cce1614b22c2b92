"""A fit that is cut off in mid-epoch goes on at that step and ends in the same weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from convgraft.training import PRESETS, FitOptions, FitResult, Task, fit, loaders
from convgraft.training.epochs import Epochs
from convgraft.training.stopping import Checkpoint, StopWhenAsked

OPTIONS = FitOptions(
    epochs=2, batch_size=16, augment="digits", seed=3, checkpoint_minutes=1e-9, accelerator="cpu"
)
STEPS = 7  # of an epoch of 100 images


class PowerCutError(Exception):
    """Ends a fit in the middle of an epoch."""


def train(given: Ingredients, task: Task, options: FitOptions = OPTIONS, **more: Any) -> FitResult:
    given = replace(given, options=StrategyOptions(dropout=0.3))
    composite = compose(STRATEGIES["parallel"].write(given), given.sources, seed=options.seed)
    return fit(composite, task, PRESETS["discriminative"], options, **more)


def cut_off_at(step: int) -> Callable[[int, int], None]:
    """A progress that ends the fit before the checkpoint after that step, counted from 1."""

    def report(done: int, total: int) -> None:
        if done == step:
            raise PowerCutError

    return report


@pytest.fixture(scope="module")
def whole(given: Ingredients, digits_task: Task) -> FitResult:
    return train(given, digits_task)


@pytest.mark.parametrize("step", [1, 7, 12])
def test_it_ends_in_the_same_weights(
    step: int,
    whole: FitResult,
    given: Ingredients,
    digits_task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "x.ckpt"
    with pytest.raises(PowerCutError):
        train(given, digits_task, checkpoint=path, on_progress=cut_off_at(step + 1))
    torch.manual_seed(12345)  # what went on before does not matter
    taken: list[tuple[int, list[int]]] = []
    shares = Epochs.shares

    def note(self: Epochs, number: int, first: int = 0) -> Any:
        found = shares(self, number, first)
        if self._shuffle:
            taken.append((number, torch.cat([*found, torch.arange(0)]).tolist()))
        return found

    monkeypatch.setattr(Epochs, "shares", note)
    again = train(given, digits_task, checkpoint=path)
    ours, theirs = again.composite.state_dict(), whole.composite.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert again.curve == whole.curve
    left = 100 - 16 * (step % STEPS)
    assert (taken[0][0], len(taken[0][1])) == (step // STEPS, left)


def asked_at(step: int) -> Callable[[int, int], None]:
    """A progress in which somebody asks the fit to stop at that step, counted from 1."""

    def report(done: int, total: int) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return report


@pytest.mark.parametrize("step", [3, 7, 9])
def test_a_fit_that_is_asked_to_stop_loses_no_step(
    step: int, whole: FitResult, given: Ingredients, digits_task: Task, tmp_path: Path
) -> None:
    path, options = tmp_path / "x.ckpt", replace(OPTIONS, checkpoint_minutes=60.0)
    stopped = train(given, digits_task, options, checkpoint=path, on_progress=asked_at(step))
    assert stopped.interrupted
    state = torch.load(path, weights_only=True)["convgraft"]
    epoch = (step - 1) // STEPS
    assert (state["epoch"], state["step"]) == (epoch, step - epoch * STEPS)
    again = train(given, digits_task, options, checkpoint=path)
    assert again.curve == whole.curve
    ours, theirs = again.composite.state_dict(), whole.composite.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_fit_that_is_asked_to_stop_in_its_validation_loses_no_step(
    whole: FitResult,
    given: Ingredients,
    digits_task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, options = tmp_path / "x.ckpt", replace(OPTIONS, checkpoint_minutes=60.0)
    on_scored = StopWhenAsked.on_scored

    def asked(self: StopWhenAsked) -> None:
        self.asked = True
        on_scored(self)

    with monkeypatch.context() as patch:
        patch.setattr(StopWhenAsked, "on_scored", asked)
        assert train(given, digits_task, options, checkpoint=path).interrupted
    state = torch.load(path, weights_only=True)["convgraft"]
    assert (state["epoch"], state["step"]) == (0, STEPS)
    assert train(given, digits_task, options, checkpoint=path).curve == whole.curve


def test_without_minutes_a_fit_that_is_asked_to_stop_goes_back_to_the_epoch(
    given: Ingredients, digits_task: Task, tmp_path: Path
) -> None:
    options = replace(OPTIONS, checkpoint_minutes=0.0)
    train(given, digits_task, options, checkpoint=tmp_path / "x", on_progress=asked_at(9))
    state = torch.load(tmp_path / "x", weights_only=True)["convgraft"]
    assert (state["epoch"], state["step"]) == (1, 0)


def test_every_image_is_trained_on_once(
    given: Ingredients, digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    epoch = loaders._OfRows.epoch

    def note(self: Any, number: int, first: int = 0) -> Any:
        rows = self.shares(number, first)
        for own, batch in zip(rows, epoch(self, number, first), strict=True):
            if self._shuffle:
                seen.append(own)
            yield batch

    monkeypatch.setattr(loaders._OfRows, "epoch", note)
    options = replace(OPTIONS, epochs=1, augment="none")
    with pytest.raises(PowerCutError):
        train(given, digits_task, options, checkpoint=tmp_path / "x", on_progress=cut_off_at(4))
    del seen[3:]  # the last step was never kept
    train(given, digits_task, options, checkpoint=tmp_path / "x")
    assert sorted(torch.cat(seen).tolist()) == list(range(100))


def test_without_minutes_there_are_checkpoints_after_epochs_alone(
    given: Ingredients, digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int | None, int]] = []
    write = Checkpoint._write

    def note(self: Checkpoint, trainer: Any, module: Any, within: Any) -> None:
        written.append((within.epoch, within.step))
        write(self, trainer, module, within)

    monkeypatch.setattr(Checkpoint, "_write", note)
    options = replace(OPTIONS, checkpoint_minutes=0.0)
    train(given, digits_task, options, checkpoint=tmp_path / "x.ckpt")
    assert written == [(1, 0), (2, 0)]
    written.clear()
    train(given, digits_task, replace(options, epochs=1, checkpoint_minutes=60.0))
    assert written == []


def test_an_epoch_of_other_steps_is_not_gone_on_with(
    given: Ingredients, digits_task: Task, tmp_path: Path
) -> None:
    path = tmp_path / "x.ckpt"
    with pytest.raises(PowerCutError):
        train(given, digits_task, checkpoint=path, on_progress=cut_off_at(4))
    with pytest.raises(UsageError, match="middle of another epoch") as told:
        train(given, digits_task, replace(OPTIONS, batch_size=32), checkpoint=path)
    assert told.value.expected == "7 steps in an epoch"


def test_a_checkpoint_within_an_epoch_loads_without_unpickling_objects(
    given: Ingredients, digits_task: Task, tmp_path: Path
) -> None:
    path = tmp_path / "x.ckpt"
    with pytest.raises(PowerCutError):
        train(given, digits_task, checkpoint=path, on_progress=cut_off_at(4))
    state = torch.load(path, weights_only=True)["convgraft"]
    assert (state["epoch"], state["step"], state["steps"]) == (0, 3, STEPS)
    assert len(state["losses"]) == 3


def test_seconds_within_an_epoch_count(
    given: Ingredients, digits_task: Task, tmp_path: Path
) -> None:
    path = tmp_path / "x.ckpt"
    with pytest.raises(PowerCutError):
        train(given, digits_task, checkpoint=path, on_progress=cut_off_at(4))
    kept = torch.load(path, weights_only=True)["callbacks"]["BestWeights"]
    assert kept["seconds"] > 0
    assert kept["curve"] == []


def test_minutes_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="minutes between checkpoints"):
        FitOptions(checkpoint_minutes=-1)
