"""Workers on this machine: processes that end with this one, however it ends.

Every worker is a `ProcessPoolExecutor` of one process, so that it is known whose process died, and
no other one has to begin again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from convgraft.studies.gpus import VISIBLE
from convgraft.studies.workers import TRIES, Ended, Report, Surroundings, Work, paced

PRELOADED = ("convgraft.studies", "lightning.pytorch")


@dataclass(eq=False)
class _Task:
    """Something that is being done, and how often it was tried."""

    key: Hashable
    work: Work
    task: Any
    tries: int = 1


@dataclass(eq=False)
class _Worker:
    """One process, begun when it gets its first task, and again when it died.

    Attributes:
        line: to the process; it tells how far it is, and ends when its other end is closed.
        devices: of `CUDA_VISIBLE_DEVICES`; None: all.
    """

    surroundings: Surroundings
    devices: str | None = None
    executor: ProcessPoolExecutor | None = None
    line: Connection | None = None
    at: _Task | None = None
    result: Future[Any] = field(default_factory=Future)

    def start(self, task: _Task) -> None:
        """Have a task done."""
        self.at = task
        try:
            self.result = self._process().submit(_do, task.work, task.task)
        except BrokenProcessPool:  # it died while it had nothing to do
            self.end()
            self.result = self._process().submit(_do, task.work, task.task)

    def _process(self) -> ProcessPoolExecutor:
        if self.executor is None:
            context = _context()
            self.line, theirs = context.Pipe()
            self.executor = ProcessPoolExecutor(
                1,
                context,
                initializer=_begin,
                initargs=(theirs, self.surroundings, self.devices),
            )
            self.executor.submit(os.getpid)  # which starts the process; then it has its end
            theirs.close()
        return self.executor

    def hear(self, report: Report) -> None:
        """Pass on how far it says it is."""
        with suppress(EOFError, OSError):
            while self.line is not None and self.line.poll():
                report(*self.line.recv())

    def end(self) -> None:
        """End the process, whatever it is at."""
        if self.line is not None:
            self.line.close()
        if self.executor is not None:
            self.executor.shutdown(wait=True, cancel_futures=True)
        self.executor = self.line = None


class Pool:
    """So many processes of this machine; see `convgraft.studies.workers.Workers`.

    Args:
        jobs: how many.
        devices: as of `convgraft.studies.gpus.shares`, which has one for each process; empty: all
            see all GPUs.
    """

    def __init__(self, jobs: int, devices: Sequence[str | None] = ()) -> None:
        own = Surroundings()
        self._workers = [_Worker(own, one) for one in devices or [None] * jobs]

    @property
    def count(self) -> int:
        """How many processes there are."""
        return len(self._workers)

    @property
    def has_room(self) -> bool:
        """Whether a process has nothing to do."""
        return any(worker.at is None for worker in self._workers)

    def start(self, key: Hashable, work: Work, task: Any) -> None:
        """Have a task done by a process that has nothing to do."""
        idle = next(worker for worker in self._workers if worker.at is None)
        idle.start(_Task(key, work, task))

    def finished(self, seconds: float, report: Report) -> list[Ended]:
        """The tasks that ended; one whose process died is begun again by a new one."""
        busy = [worker for worker in self._workers if worker.at is not None]
        wait([worker.result for worker in busy], seconds, FIRST_COMPLETED)
        for worker in busy:
            worker.hear(report)
        over = [_over(worker) for worker in busy if worker.result.done()]
        return [ended for ended in over if ended is not None]

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for worker in self._workers:  # all of them are told before one is waited for
            if worker.line is not None:
                worker.line.close()
        for worker in self._workers:
            worker.end()


def _over(worker: _Worker) -> Ended | None:
    """A task that ended; None where it is begun again because its process died."""
    task = worker.at
    assert task is not None
    try:
        result = worker.result.result()
    except BrokenProcessPool:
        worker.end()
        worker.at = None
        if task.tries >= TRIES:
            return Ended(task.key, lost=f"the process that worked on it died, {TRIES} times")
        task.tries += 1
        worker.start(task)
        return None
    worker.at = None
    return Ended(task.key, result)


def _context() -> Any:
    """A server that has imported what takes seconds forks the processes, where there is such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def begin_server() -> None:
    """Begin what forks the processes, so that Ctrl-C does not reach them while they import.

    Each would show a traceback, for seconds. For a program that forks nothing else by
    `multiprocessing`: the signal is blocked in whatever that server forks.
    """
    if _context().get_start_method() != "forkserver":
        return
    from multiprocessing import forkserver, resource_tracker

    resource_tracker.ensure_running()  # which unblocks signals when it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_report: list[Report] = []  # of this process, where it is a worker


def _begin(line: Connection, surroundings: Surroundings, devices: str | None) -> None:
    """In the worker: be like the process that began it, and end with it."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C is for the other process alone; it ends this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if devices is not None:
        os.environ[VISIBLE] = devices
    surroundings.apply()
    _report[:] = [paced(lambda *told: _tell(line, told))]
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()


def _tell(line: Connection, told: tuple[Any, ...]) -> None:
    with suppress(OSError):
        line.send(told)


def _end_with(line: Connection) -> None:
    """Nothing is ever sent this way: the line ends when the other process closes it, or dies."""
    with suppress(EOFError, OSError):
        line.recv()
    os._exit(1)


def _do(work: Work, task: Any) -> Any:
    return work(task, _report[0])
