"""The steps of an epoch without a trainer's bookkeeping around each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as lit
import torch
from torch import Tensor

PLAIN = ("32-true", "64-true", "bf16-true", "16-true")  # precisions where a backward pass is plain


class StepCallback(lit.Callback):
    """A callback that hears of single batches, which the trainer does not know of.

    Attributes:
        is_agreed: whether any of several ranks wished, before the step that ended, that all of
            them do something after it; None where there is one rank.
    """

    is_agreed: bool | None = None

    def wish(self) -> bool:
        """Whether this rank wishes that now; only one that is agreed on is granted."""
        return False

    @property
    def is_due(self) -> bool:
        """Whether it is to be done now, on this rank and on all the others."""
        return self.wish() if self.is_agreed is None else self.is_agreed

    def on_step_end(self, done: int) -> None:
        """`done` steps of this stage are done."""

    def on_scored(self) -> None:
        """One batch of a validation is done."""


def step_callbacks(trainer: lit.Trainer) -> list[StepCallback]:
    """Those of a trainer's callbacks that hear of single batches."""
    return [one for one in trainer.callbacks if isinstance(one, StepCallback)]  # type: ignore[attr-defined]


def stepper(module: lit.LightningModule) -> Callable[[Tensor], None]:
    """A function that does one step of optimiser and schedule, given the loss of a batch.

    The shortest way that device and precision allow; the longer one goes through Lightning's
    strategy, which scales the loss or tells the device that a step is over.
    """
    trainer = module.trainer
    scheduler: Any = module.lr_schedulers()
    plain = trainer.precision in PLAIN and module.device.type != "xla"
    if not plain:
        return lambda loss: _long_step(module, loss, scheduler)
    moved = trainer.optimizers[0]
    if trainer.world_size > 1:
        return lambda loss: _step_over_ranks(module, loss, moved, scheduler)

    def step(loss: Tensor) -> None:
        moved.zero_grad()
        loss.backward()
        moved.step()
        scheduler.step()

    return step


_CUDA_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"


@contextmanager
def no_search_for_gpus() -> Iterator[None]:
    """Where there is no GPU, an optimiser does not look for the driver of one in every step.

    It asks whether one is there. Importing Lightning sets a variable that makes torch load the
    driver's library for the answer, each time anew: a tenth of a step of a small head.
    """
    before = os.environ.get(_CUDA_CHECK)
    if before is None or torch.cuda.is_available():
        yield
        return
    os.environ[_CUDA_CHECK] = "0"
    try:
        yield
    finally:
        os.environ[_CUDA_CHECK] = before


def _long_step(module: lit.LightningModule, loss: Tensor, scheduler: Any) -> None:
    """One step outside of the autocast, which keeps no copies, that is around the whole epoch."""
    moved: Any = module.optimizers()
    with torch.autocast(module.device.type, enabled=False):
        moved.zero_grad()
        module.manual_backward(loss)
        moved.step()
    scheduler.step()


def _step_over_ranks(module: lit.LightningModule, loss: Tensor, moved: Any, scheduler: Any) -> None:
    """One step whose gradients the strategy sums over ranks."""
    moved.zero_grad()
    module.manual_backward(loss)
    moved.step()
    scheduler.step()


def placer(module: lit.LightningModule) -> Callable[[Any], Any]:
    """A function that brings a batch to the module's device and precision."""
    trainer = module.trainer
    if module.device.type == "cpu" and trainer.precision == "32-true":
        return lambda batch: batch
    convert, move = trainer.precision_plugin.convert_input, trainer.strategy.batch_to_device
    return lambda batch: move(convert(batch))
