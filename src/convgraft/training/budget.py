"""A budget of seconds for a stage of training: as many epochs as fit, and a schedule over those.

The first epoch is timed, and what it took decides. The epochs that are left follow the rates of a
schedule that was laid over so many from the beginning; the first one ran as if there were to be
all of them. How many fit depends on the machine, so results under a budget do too.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as lit
import torch

from convgraft.training.callbacks import StepProgress
from convgraft.training.module import FitModule
from convgraft.training.optimisers import schedule
from convgraft.training.process_group import current_group

SHORTEST = 1e-6  # seconds, of an epoch


class EpochsInBudget(lit.Callback):
    """Decides after the first epoch of a stage how many it has; a checkpoint keeps that.

    Args:
        seconds: for all epochs of the stage, validation counted, what is computed once not.
        most: epochs at most; at least one there is.
        batches: of an epoch.

    Attributes:
        epochs: how many; None before the first has ended.
    """

    def __init__(
        self, seconds: float, most: int, batches: int, *, epochs: int | None = None
    ) -> None:
        self.seconds, self.most, self.batches, self.epochs = seconds, most, batches, epochs
        self._began: float | None = None
        self._spent = 0.0  # in the first epoch, before a checkpoint within it

    def on_train_epoch_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Look at the clock."""
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Decide, where that is not done."""
        if self.epochs is not None:
            return
        took = max(self._took(), SHORTEST)
        found = min(self.most, max(1, int(self.seconds / took)))
        self.epochs = current_group().from_first(found)
        if self.epochs == self.most:
            return
        assert isinstance(pl_module, FitModule)
        trainer.fit_loop.max_epochs = self.epochs
        _lay_schedule(trainer, pl_module, self.epochs * self.batches, done=self.batches)
        for one in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(one, StepProgress):
                one.total -= (self.most - self.epochs) * self.batches

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"epochs": self.epochs, "spent": self._took() if self.epochs is None else 0.0}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.epochs, self._spent = state_dict["epochs"], state_dict.get("spent", 0.0)

    def _took(self) -> float:
        return self._spent + (0.0 if self._began is None else time.monotonic() - self._began)


def decided_epochs(checkpoint: Path | None) -> int | None:
    """How many epochs a budget gave the stage that a checkpoint is of; None where none did."""
    if checkpoint is None:
        return None
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return state.get("callbacks", {}).get(EpochsInBudget.__qualname__, {}).get("epochs")


def _lay_schedule(trainer: lit.Trainer, module: FitModule, steps: int, *, done: int) -> None:
    """A schedule over other steps in place of the module's own, with so many of them done."""
    moved = trainer.optimizers[0]
    for group in moved.param_groups:  # a schedule takes the rates that it finds for the peaks
        group["lr"] = group.get("max_lr", group["initial_lr"])
    laid = schedule(moved, module.options.schedule, steps)
    laid.last_epoch = done - 1
    laid.step()
    module.steps = steps
    trainer.lr_scheduler_configs[0].scheduler = laid
