"""Ctrl-C and SIGTERM while a fit begins to listen to them, and when a checkpoint is due."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from convgraft.training import stopping
from convgraft.training.stopping import Checkpoint, StopWhenAsked


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_comes_as_soon_as_the_fit_listens_is_heard(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, stop, heard = signal.signal, StopWhenAsked(), list[int]()

    def listen_and_ask(which: int, handler: Any) -> Any:
        before = listen(which, handler)
        if which == number and not heard:
            heard.append(which)
            signal.raise_signal(number)
        return before

    before = signal.getsignal(number)
    monkeypatch.setattr(signal, "signal", listen_and_ask)
    with stop.listening():
        assert stop.asked
        assert signal.getsignal(number) is before  # a second one ends the process as usual
    assert signal.getsignal(number) is before


def test_a_checkpoint_within_an_epoch_is_due_after_so_many_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    often, never = Checkpoint(Path("x.ckpt"), minutes=2), Checkpoint(Path("x.ckpt"))
    for seconds, is_due in ((0, False), (119, False), (121, True)):
        now[0] = 1000.0 + seconds
        assert often.wish() == is_due
        assert not never.wish()
