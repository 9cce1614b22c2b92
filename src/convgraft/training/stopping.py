"""Checkpoints, and an end when somebody asks for it: what a fit that was cut off goes on from."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as lit

from convgraft.durable.on_disk import make_folder, put_in_place
from convgraft.training.module import FitModule
from convgraft.training.process_group import Interrupted, current_group
from convgraft.training.steps import StepCallback
from convgraft.training.within_epoch import WithinEpoch

LOOK_SECONDS = 1.0  # between two questions whether another rank was asked to stop
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Checkpoint(StepCallback):
    """Writes one checkpoint after every epoch, and every so often in it, whole or not at all.

    Rank zero writes; the others do their part in gathering what it writes.

    Args:
        minutes: between two checkpoints within an epoch; 0: none there.
    """

    def __init__(self, path: Path, minutes: float = 0.0) -> None:
        self.path, self.minutes = path, minutes
        self._last = time.monotonic()
        self._trainer: Any = None
        self._before = self._step = self._written = 0

    def on_train_epoch_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Whose state it is."""
        assert isinstance(pl_module, FitModule)
        self._trainer, self._before = trainer, pl_module.current_epoch * pl_module.steps_of_epoch
        self._step = self._written = pl_module.first_step

    def on_train_epoch_end(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Write the state after the epoch that ended."""
        assert isinstance(pl_module, FitModule)
        self._write(trainer, pl_module, WithinEpoch(epoch=trainer.current_epoch + 1))

    def wish(self) -> bool:
        """Whether the last one was long ago, by rank zero's clock."""
        if not self.minutes or time.monotonic() - self._last < 60 * self.minutes:
            return False
        return current_group().is_first

    def on_step_end(self, done: int) -> None:
        """Write the state after the step that ended, where it is time."""
        self._step = done - self._before
        # after the last step the epoch's own checkpoint follows at once
        if self.is_due and self._step < self._trainer.lightning_module.steps_of_epoch:
            self._write_step()

    def on_stop(self) -> None:
        """Write the state after the step that was the last one, unless that has been done."""
        if self.minutes and self._written < self._step:
            self._write_step()

    def _write_step(self) -> None:
        module = self._trainer.lightning_module
        self._write(self._trainer, module, module.within_now(self._step))
        self._written = self._step

    def _write(self, trainer: lit.Trainer, module: FitModule, within: WithinEpoch) -> None:
        if current_group().is_first:
            make_folder(self.path.parent)
        part = self.path.with_suffix(".part")
        module.within = within
        trainer.save_checkpoint(part)
        module.within = WithinEpoch()
        if current_group().is_first:
            put_in_place(part, self.path)
        self._last = time.monotonic()


class StopWhenAsked(StepCallback):
    """Ends the fit after the batch in which Ctrl-C or SIGTERM came.

    It comes after all others that hear of batches, so that what `checkpoint` then writes is whole.

    Attributes:
        asked: whether somebody did.
        checkpoint: what writes the state of the stage that runs; None: nothing does.
    """

    def __init__(self) -> None:
        self.asked, self._looked = False, 0.0
        self.checkpoint: Checkpoint | None = None
        self._ask: Any = None
        self._before: Any = signal.SIG_DFL  # what SIGTERM did

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the first Ctrl-C or SIGTERM; a second one ends the process as usual."""
        before = {}

        def ask(number: int, frame: Any) -> None:
            self.asked = True
            signal.signal(number, before[signal.Signals(number)])

        try:
            before = {number: signal.getsignal(number) for number in _SIGNALS}
            for number in _SIGNALS:
                signal.signal(number, ask)
            self._ask, self._before = ask, before[signal.SIGTERM]
        except ValueError:  # not in the main thread: somebody else handles signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def setup(self, trainer: Any, pl_module: lit.LightningModule, stage: str) -> None:
        """Keep Lightning from what it does at SIGTERM.

        Its handler ends one rank alone, or waits in it for the others, which may never come.
        """
        trainer._signal_connector._sigterm_notifier_fn = lambda number, frame: None

    def on_train_start(self, trainer: lit.Trainer, pl_module: lit.LightningModule) -> None:
        """Have nothing of Lightning around what SIGTERM does; a second one ends the process."""
        if self._ask:
            signal.signal(signal.SIGTERM, self._before if self.asked else self._ask)

    def is_asked_anywhere(self) -> bool:
        """Whether somebody asked this process or, as of a second ago, another rank.

        For work that every rank does by itself.
        """
        now, group = time.monotonic(), current_group()
        if group.world > 1 and now - self._looked > LOOK_SECONDS:
            self._looked = now
            if self.asked:
                group.ask_to_stop()
            self.asked = self.asked or group.is_asked_to_stop()
        return self.asked

    def wish(self) -> bool:
        """Whether somebody asked this process."""
        return self.asked

    def on_scored(self) -> None:
        """Stop here if asked."""
        if self.is_due:
            self._stop()

    def on_step_end(self, done: int) -> None:
        """Stop here if asked."""
        if self.is_due:
            self.asked = True
            self._stop()

    def _stop(self) -> None:
        if self.checkpoint:
            self.checkpoint.on_stop()
        raise Interrupted
