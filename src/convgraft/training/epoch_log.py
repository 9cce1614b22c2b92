"""Tells loggers how training goes: loss and learning rate by steps, validation by epochs.

A trainer takes a whole epoch for one batch here, so it cannot count steps for its loggers. They
are told of an epoch when it is whole: an epoch that was cut off and is trained again is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import lightning as lit
from lightning.pytorch.loggers import Logger

from convgraft.training.callbacks import BestWeights
from convgraft.training.module import FitModule
from convgraft.training.steps import StepCallback

EVERY = 10  # steps between two notes of the training loss
Told = tuple[int, Mapping[str, float]]  # a step of the optimiser, counted over all stages, from 1


class EpochLog(StepCallback):
    """Logs an epoch when it ends; it comes after `best`, whose curve it reads.

    `train/loss` is the mean over the steps since the last note, `train/learning_rate` that of the
    parts at full rate at that step. With the last step of an epoch come `epoch` (from 0),
    `train/epoch_loss`, and for each answer `val/ANSWER/top1` and `val/ANSWER/nll`.

    Args:
        batches: steps of an epoch.
    """

    def __init__(
        self, loggers: Sequence[Logger], best: BestWeights, batches: int, every: int = EVERY
    ) -> None:
        self.loggers, self.best, self.batches, self.every = loggers, best, batches, every
        self._groups: list[dict[str, Any]] = []
        self._rate = 0.0
        self._rates: list[tuple[int, float]] = []

    def on_train_epoch_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """The learning rate of the epoch's first step."""
        self._groups = trainer.optimizers[0].param_groups
        began = trainer.current_epoch * self.batches
        self._rates = [note for note in self._rates if note[0] > began]  # of one that goes on
        self._rate = self._current()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint within an epoch keeps."""
        return {"rates": self._rates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._rates = [(done, rate) for done, rate in state_dict["rates"]]

    def on_step_end(self, done: int) -> None:
        """Note the rate that the step had; the schedule has moved on already."""
        if done % self.every == 0:
            self._rates.append((done, self._rate))
        if (done + 1) % self.every == 0:
            self._rate = self._current()

    def _current(self) -> float:
        return max(float(group["lr"]) for group in self._groups)

    def on_train_epoch_end(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Tell every logger of the epoch that ended."""
        assert isinstance(pl_module, FitModule)
        told = list(self._notes(trainer.current_epoch, pl_module.epoch_losses()))
        for logger in self.loggers:
            for step, values in told:
                logger.log_metrics(dict(values), step)
            logger.save()

    def _notes(self, epoch: int, losses: Sequence[float]) -> Iterator[Told]:
        """The notes of an epoch of this stage, by step of the whole fit."""
        earlier, began = self.best.earlier_epochs * self.batches, epoch * self.batches
        for done, rate in self._rates:
            last = done - began
            loss = fmean(losses[max(0, last - self.every) : last])
            yield earlier + done, {"train/loss": loss, "train/learning_rate": rate}
        entry = self.best.curve[-1]
        scores = {
            f"val/{answer}/{name}": value
            for answer, score in entry["val"].items()
            for name, value in score.items()
        }
        whole = {"epoch": entry["epoch"], "train/epoch_loss": entry["train_loss"], **scores}
        yield earlier + began + len(losses), whole


@contextmanager
def closing(loggers: Sequence[Logger], stopped: Callable[[], bool]) -> Iterator[None]:
    """Tell loggers in the end whether the fit came to its end."""
    status = "failed"
    try:
        yield
        status = "failed" if stopped() else "success"
    finally:
        for logger in loggers:
            logger.finalize(status)
