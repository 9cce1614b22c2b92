"""What happens around the epochs of a fit: best weights, checkpoints, progress, Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as lit
from torch import Tensor

from convgraft.training.module import FitModule, trainable_state

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class BestWeights(lit.Callback):
    """Remembers the weights of the epoch whose validation was best, and the curve of all epochs.

    Best is the highest top-1 of the plan's answer, the lower NLL among equals.
    """

    def __init__(self, answer: str, patience: int | None) -> None:
        self.answer, self.patience = answer, patience
        self.epoch = -1
        self.seconds = 0.0
        self._began = 0.0
        self.weights: dict[str, Tensor] = {}
        self.curve: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Score the epoch that ended."""
        assert isinstance(pl_module, FitModule)
        scores = {name: dict(score) for name, score in pl_module.scores.items()}
        epoch = trainer.current_epoch
        self.curve.append({"epoch": epoch, "train_loss": pl_module.mean_loss(), "val": scores})
        if self.epoch < 0 or self._rank(epoch) > self._rank(self.epoch):
            self.epoch = epoch
            state = trainable_state(pl_module.composite, pl_module.freeze_map)
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        self.seconds += time.monotonic() - self._began

    def on_train_epoch_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """End the fit here if the last epochs brought nothing, also after a resume."""
        self._began = time.monotonic()
        if self.patience is not None and len(self.curve) - 1 - self.epoch >= self.patience:
            raise OutOfPatience

    def _rank(self, epoch: int) -> tuple[float, float]:
        score = self.curve[epoch]["val"][self.answer]
        return score["top1"], -score["nll"]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "weights": self.weights,
            "curve": self.curve,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.epoch, self.seconds = state_dict["epoch"], state_dict["seconds"]
        self.weights, self.curve = state_dict["weights"], state_dict["curve"]


class Checkpoint(lit.Callback):
    """Writes one checkpoint after every epoch, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Write the state after the epoch that ended."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        trainer.save_checkpoint(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(self.path)


class StepProgress(lit.Callback):
    """Tells how many of all steps are done."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.report = report

    def on_train_batch_end(self, trainer: lit.Trainer, *args: Any, **kwargs: Any) -> None:
        """One step more."""
        self.report(trainer.global_step, int(trainer.estimated_stepping_batches))


class OutOfPatience(Exception):  # noqa: N818 - it is no error
    """The validation score has not risen for as many epochs as the options allow."""


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Somebody asked the fit to stop; what was reached is kept."""


class StopWhenAsked(lit.Callback):
    """Ends the fit after the batch in which Ctrl-C or SIGTERM came."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the first Ctrl-C or SIGTERM; a second one ends the process as usual."""
        before = {}

        def ask(number: int, frame: Any) -> None:
            self.asked = True
            signal.signal(number, before[signal.Signals(number)])

        try:
            before = {number: signal.signal(number, ask) for number in _SIGNALS}
        except ValueError:  # not in the main thread: somebody else handles signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        if self.asked:
            raise Interrupted

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop here if asked."""
        self._stop()

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop here if asked."""
        self._stop()
