"""A budget of seconds: how many epochs fit, the rates over those, and what a resume keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, FitResult, Task, budget, fit
from convgraft.training.module import FitModule
from convgraft.training.optimisers import schedule
from convgraft.training.stopping import Checkpoint
from helpers import Tiny

GIVEN = Ingredients({"a": source(Tiny(classes=10))}, 8, 10)
OPTIONS = FitOptions(epochs=6, batch_size=25, budget_seconds=3.5)
BATCHES = 4  # of a hundred images


def train(
    task: Task, options: FitOptions = OPTIONS, preset: str = "all", **more: Path
) -> FitResult:
    network = compose(STRATEGIES["finetune"].write(GIVEN), GIVEN.sources)
    return fit(network, task, PRESETS[preset], options, **more)


def same(one: FitResult, other: FitResult) -> bool:
    ours, theirs = (result.composite.state_dict() for result in (one, other))
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.fixture(autouse=True)
def _a_second_for_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, 1.0)


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Every look at the clock is so many seconds after the one before."""
    ticks: Iterator[float] = count(0.0, seconds)
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.parametrize(("seconds", "epochs"), [(0.1, 1), (2.9, 2), (3.0, 3), (99.0, 6)])
def test_as_many_epochs_as_fit_one_at_least(digits_task: Task, seconds: float, epochs: int) -> None:
    result = train(digits_task, replace(OPTIONS, budget_seconds=seconds))
    assert len(result.curve) == epochs


def test_a_budget_that_is_large_enough_changes_nothing(digits_task: Task) -> None:
    free = train(digits_task, replace(OPTIONS, budget_seconds=None))
    assert same(free, train(digits_task, replace(OPTIONS, budget_seconds=6.0)))


@pytest.mark.parametrize("name", ["cosine", "one-cycle", "constant"])
def test_the_schedule_lies_over_the_epochs_that_fit(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen: list[float] = []
    whole = FitModule.batch_loss

    def noted(module: FitModule, *batch: object) -> object:
        seen.append(module.trainer.optimizers[0].param_groups[0]["lr"])
        return whole(module, *batch)  # type: ignore[arg-type]

    monkeypatch.setattr(FitModule, "batch_loss", noted)
    train(digits_task, replace(OPTIONS, schedule=name))
    first, rest = rates(name, 6 * BATCHES), rates(name, 3 * BATCHES)
    assert seen == pytest.approx(first[:BATCHES] + rest[BATCHES:])


def rates(name: str, steps: int) -> list[float]:
    """Of every step, by a schedule that knew from the beginning."""
    weight = torch.nn.Parameter(torch.zeros(1))
    moved = torch.optim.AdamW([weight], lr=OPTIONS.rate)
    laid, found = schedule(moved, name, steps), []
    for _ in range(steps):
        found.append(moved.param_groups[0]["lr"])
        moved.step()
        laid.step()
    return found


class PowerCutError(Exception):
    """Ends a fit right after a checkpoint."""


@pytest.mark.parametrize("name", ["cosine", "one-cycle"])
@pytest.mark.parametrize("done", [1, 3])
def test_a_fit_that_goes_on_keeps_the_epochs_that_were_decided_on(
    digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int, name: str
) -> None:
    options = replace(OPTIONS, schedule=name)
    whole = train(digits_task, options)
    write = Checkpoint.on_train_epoch_end

    def cut(self: Checkpoint, trainer: object, module: object) -> None:
        write(self, trainer, module)  # type: ignore[arg-type]
        if trainer.current_epoch + 1 == done:  # type: ignore[attr-defined]
            raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_epoch_end", cut)
        set_clock(patch, 1.0)
        with pytest.raises(PowerCutError):
            train(digits_task, options, checkpoint=tmp_path / "x.ckpt")
    set_clock(monkeypatch, 0.1)  # a faster machine now
    resumed = train(digits_task, options, checkpoint=tmp_path / "x.ckpt")
    assert len(resumed.curve) == len(whole.curve) == 3
    assert same(resumed, whole)


def test_stages_share_the_seconds(digits_task: Task) -> None:
    result = train(digits_task, replace(OPTIONS, epochs=8, budget_seconds=4.0), "lp-ft")
    assert [epoch["stage"] for epoch in result.curve].count(result.curve[0]["stage"]) == 2
    assert len(result.curve) == 4


def test_a_budget_is_above_nothing() -> None:
    with pytest.raises(UsageError, match="budget in seconds must be above 0"):
        FitOptions(budget_seconds=0)
