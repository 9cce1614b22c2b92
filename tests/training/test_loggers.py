"""Loggers are told real steps, rates and scores, an epoch at a time, and only where asked for."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import Logger

from convgraft.compose import compose
from convgraft.errors import UsageError
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, FitResult, Task, fit, loggers
from convgraft.training.callbacks import BestWeights
from convgraft.training.epoch_log import EVERY, EpochLog
from convgraft.training.loggers import CsvLog, find_loggers, open_loggers
from convgraft.training.module import FitModule
from convgraft.training.optimisers import schedule
from convgraft.training.stopping import Checkpoint
from helpers import Tiny

OPTIONS = FitOptions(epochs=3, batch_size=8, seed=1)
STEPS = 13  # of 100 images in an epoch
Rows = list[dict[str, str]]


class Heard(Logger):
    """Remembers all that it is told."""

    def __init__(self, save_dir: str = "", name: str = "") -> None:
        super().__init__()
        self.given = (save_dir, name)
        self.told: list[tuple[int | None, dict[str, Any]]] = []
        self.ends: list[str] = []

    @property
    def name(self) -> str:
        return "heard"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("nobody asked for them")

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.told.append((step, metrics))

    def finalize(self, status: str) -> None:
        self.ends.append(status)


def train(task: Task, *told: Logger, policy: str = "all", **more: Any) -> FitResult:
    given = Ingredients({"a": source(Tiny(classes=10))}, 8, 10)
    network = compose(STRATEGIES["probe"].write(given), given.sources, seed=1)
    return fit(network, task, PRESETS[policy], OPTIONS, loggers=told, **more)


def naive_rates(steps: int) -> list[float]:
    """The rate of every step, the first one first."""
    moved = torch.optim.SGD([torch.zeros(1)], lr=OPTIONS.rate)
    falling = schedule(moved, OPTIONS.schedule, steps)
    found = []
    for _ in range(steps):
        found.append(moved.param_groups[0]["lr"])
        moved.step()
        falling.step()
    return found


def test_loss_and_rate_are_those_of_real_steps_and_scores_those_of_the_curve(
    digits_task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    of_batch = FitModule.batch_loss

    def seen(self: FitModule, *arguments: Any) -> torch.Tensor:
        loss = of_batch(self, *arguments)
        losses.append(loss.item())
        return loss

    monkeypatch.setattr(FitModule, "batch_loss", seen)
    heard = Heard()
    result = train(digits_task, heard)
    steps, rates = 3 * STEPS, naive_rates(3 * STEPS)
    by_step = [(step, told) for step, told in heard.told if "train/loss" in told]
    assert [step for step, _ in by_step] == list(range(EVERY, steps + 1, EVERY))
    for step, told in by_step:
        assert step is not None
        began = max(step - EVERY, (step - 1) // STEPS * STEPS)  # no further than its own epoch
        assert told["train/loss"] == pytest.approx(sum(losses[began:step]) / (step - began))
        assert told["train/learning_rate"] == pytest.approx(rates[step - 1])
    wholes = [(step, told) for step, told in heard.told if "epoch" in told]
    assert [step for step, _ in wholes] == [STEPS, 2 * STEPS, 3 * STEPS]
    for (_, told), entry in zip(wholes, result.curve, strict=True):
        assert (told["epoch"], told["train/epoch_loss"]) == (entry["epoch"], entry["train_loss"])
        assert told["val/label/top1"] == entry["val"]["label"]["top1"]
        assert told["val/label/nll"] == entry["val"]["label"]["nll"]
    assert heard.ends == ["success"]


def test_steps_are_counted_over_all_stages_and_logging_changes_nothing(digits_task: Task) -> None:
    heard = Heard()
    told, silent = train(digits_task, heard, policy="lp-ft"), train(digits_task, policy="lp-ft")
    assert len({entry["stage"] for entry in told.curve}) == 2
    assert [step for step, found in heard.told if "epoch" in found] == [13, 26, 39]
    ours, theirs = (one.composite.state_dict() for one in (told, silent))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_nobody_listens_unless_asked_to(digits_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EpochLog, "__init__", lambda *_: pytest.fail("somebody listens"))
    assert len(train(digits_task).curve) == 3


class PowerCutError(Exception):
    """Ends a fit."""


def cut(when: int, *, written: bool) -> Callable[..., None]:
    """A checkpoint that is the last thing of its fit, be it written or not."""
    write = Checkpoint.on_train_epoch_end

    def end(self: Checkpoint, trainer: Any, module: Any) -> None:
        if trainer.current_epoch + 1 < when or written:
            write(self, trainer, module)
        if trainer.current_epoch + 1 == when:
            raise PowerCutError

    return end


def rows(folder: Path) -> Rows:
    with (folder / "x" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("written", [True, False])
def test_a_fit_that_goes_on_appends_and_tells_nothing_twice(
    written: bool, digits_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = find_loggers(["csv"])
    train(digits_task, *open_loggers(known, tmp_path / "whole", "x"))
    place, state = tmp_path / "cut", tmp_path / "x.ckpt"
    monkeypatch.setattr(Checkpoint, "on_train_epoch_end", cut(2, written=written))
    with pytest.raises(PowerCutError):
        train(digits_task, *open_loggers(known, place, "x"), checkpoint=state)
    monkeypatch.undo()
    assert len(rows(place)) == 4  # steps 10 and 20, epochs 0 and 1
    train(digits_task, *open_loggers(known, place, "x"), checkpoint=state)
    assert rows(place) == rows(tmp_path / "whole")
    assert [row["step"] for row in rows(place)] == ["10", "13", "20", "26", "30", "39"]


def test_a_fit_that_fails_says_so(digits_task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def fall(*_: object) -> None:
        raise PowerCutError

    monkeypatch.setattr(BestWeights, "on_train_epoch_end", fall)
    heard = Heard()
    with pytest.raises(PowerCutError):
        train(digits_task, heard)
    assert (heard.told, heard.ends) == ([], ["failed"])


def test_a_logger_of_any_module_is_given_what_it_takes(tmp_path: Path) -> None:
    name = f"{__name__}:Heard"
    (found,) = open_loggers(find_loggers([name]), tmp_path, "an arm")
    assert isinstance(found, Heard)
    assert found.given == (str(tmp_path), "an arm")
    assert find_loggers(["csv", "csv"]) == {"csv": CsvLog}


def test_tensorboard_reads_what_was_logged(digits_task: Task, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    known = find_loggers(["tensorboard"])
    train(digits_task, *open_loggers(known, tmp_path, "x"))
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    written = EventAccumulator(str(events.parent)).Reload()
    heard = Heard()
    train(digits_task, heard)
    for name in {key for _, metrics in heard.told for key in metrics}:
        expected = [(step, m[name]) for step, m in heard.told if name in m]
        scalars = [(one.step, one.value) for one in written.Scalars(name)]
        assert [step for step, _ in scalars] == [step for step, _ in expected]
        assert [v for _, v in scalars] == pytest.approx([v for _, v in expected], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cvs", "did you mean csv"),
        ("wandb", "or MODULE:CLASS"),
        ("no.such.module:Log", "cannot be imported"),
        ("lightning.pytorch.loggers:NoLogger", "cannot be imported"),
        ("pathlib:Path", "is no Lightning logger"),
        ("tensorboard", "convgraft[loggers]"),
    ],
)
def test_a_wrong_name_is_told_before_any_work(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    with pytest.raises(UsageError) as told:
        find_loggers([name])
    assert said in str(told.value)
