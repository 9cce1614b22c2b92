"""A fit that somebody stops after some epochs, in this process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convgraft.training.stopping import Checkpoint


@contextmanager
def stopped_after(epochs: int) -> Iterator[None]:
    """Within this, Ctrl-C comes when that many epochs are written down."""
    ended, done = Checkpoint.on_train_epoch_end, 0

    def stop(self: Checkpoint, *arguments: Any) -> None:
        nonlocal done
        ended(self, *arguments)
        done += 1
        if done == epochs:
            signal.raise_signal(signal.SIGINT)

    Checkpoint.on_train_epoch_end = stop
    try:
        yield
    finally:
        Checkpoint.on_train_epoch_end = ended
