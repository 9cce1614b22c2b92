"""`convgraft` in a process of its own, that gets a signal at a moment of its work."""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# a server that has imported what takes seconds, and forks a fresh process whenever one is wanted
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload([
    *("lightning.pytorch", "sklearn.datasets", "matplotlib.backends.backend_agg"),
    *("convgraft.cli.study_steps", "convgraft.cli.study_outcome", "convgraft.cli.search_steps"),
    *("convgraft.cli.predict_steps", "convgraft.predict.torch_engine"),
])  # fmt: skip

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree")


@dataclass(frozen=True)
class Moment:
    """When the signal comes: whatever of the two is first; without either, never.

    Attributes:
        seconds: of processor time since the folder was changed for the first time; a busy machine
            makes no difference to what is done until then.
        change: right before this change of the folder, from 1.
        after: seconds that pass between that and the signal: it may come while a file is written.
    """

    seconds: float = float("inf")
    change: int = 0
    signal: int = signal.SIGKILL
    after: float = 0.0


@dataclass(frozen=True)
class Command:
    """What is run, and where.

    Attributes:
        arguments: of `convgraft`.
        folder: of its results; changes in it are heard.
        store: of what frozen parts compute.
        log: a file for all that it prints; beside it lies what it took.
        store_too: whether changes in the store are heard as well.
        prepare: `module:function` that the process calls first, given the command.
    """

    arguments: tuple[str, ...]
    folder: Path
    store: Path
    log: Path
    store_too: bool = False
    prepare: str = ""

    def start(self, moment: Moment) -> BaseProcess:
        """Run it in another process, which may be dead after that moment."""
        process = SERVER.Process(target=_run, args=(self, moment))
        process.start()
        return process

    @property
    def took(self) -> tuple[float, int]:
        """Seconds of processor time, and changes of its folder, of the last run that ended."""
        seconds, changes = json.loads(self.log.with_suffix(".json").read_text())
        return seconds, changes

    @property
    def heard(self) -> tuple[str, ...]:
        """Where changes are heard."""
        return (str(self.folder), *((str(self.store),) if self.store_too else ()))


@dataclass
class _Work:
    """What the process has done so far."""

    heard: tuple[str, ...]
    moment: Moment
    changes: int = 0
    began: float = field(default=float("inf"))

    @property
    def seconds(self) -> float:
        return time.process_time() - self.began

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python tells of everything here that opens, renames or removes a file."""
        if not _is_change(event, arguments) or not str(arguments[0]).startswith(self.heard):
            return
        self.began = min(self.began, time.process_time())
        self.changes += 1
        if self.changes == self.moment.change:
            self._send()

    def _send(self) -> None:
        if self.moment.after:
            threading.Timer(self.moment.after, os.kill, (os.getpid(), self.moment.signal)).start()
        else:
            os.kill(os.getpid(), self.moment.signal)

    def watch(self) -> None:
        """Wait for the time of the signal."""
        while self.seconds < self.moment.seconds:
            time.sleep(0.002)
        os.kill(os.getpid(), self.moment.signal)


def _run(command: Command, moment: Moment) -> None:
    """In the other process; it ends with the command's exit code."""
    import torch

    from convgraft.cli.main import main

    os.environ |= {"CONVGRAFT_CACHE": str(command.store), "OMP_NUM_THREADS": "1"}
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # and `--jobs` has it blocked
    work = _Work(command.heard, moment)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(command.log.open("w"))
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(contextlib.redirect_stderr(log))
        _prepare(command)
        sys.addaudithook(work.hear)
        if moment.seconds < float("inf"):
            threading.Thread(target=work.watch, daemon=True).start()
        stack.callback(_note, command.log.with_suffix(".json"), work)
        main(command.arguments)


def _prepare(command: Command) -> None:
    if command.prepare:
        module, _, name = command.prepare.partition(":")
        getattr(importlib.import_module(module), name)(command)


def _note(path: Path, work: _Work) -> None:
    path.write_text(json.dumps([work.seconds, work.changes]))


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        _, mode, flags = arguments
        return bool(mode and set(mode) & set("wax+")) or bool((flags or 0) & WRITING)
    return event in CHANGES
