"""Trials in a process beside this one, so that a hang, a crash or a full memory is a trial's fault.

What a trial leaves on standard error is its fault as well.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from campaign import Trial

FORKED = multiprocessing.get_context("fork")  # what was imported and made stays
KIB = 2**10


@dataclass(frozen=True)
class Bounds:
    """What a trial may take.

    Attributes:
        seconds: after which it hangs.
        bytes: of memory, beyond what its process had before.
        quiet: what it may leave on standard error.
    """

    seconds: float = 60.0
    bytes: int = 2**30
    quiet: re.Pattern[str] = re.compile("")


Attempt = Callable[[int], Trial]


def watched(
    attempt: Attempt, first: int, count: int, folder: Path, bounds: Bounds
) -> Iterator[Trial]:
    """Trials number `first` up to, but not, `count`, each as `attempt` makes it.

    Where one hangs or its process dies, that is what is wrong with it, and the next one is made in
    a new process. An exception of `attempt` is wrong too.

    Args:
        attempt: takes the number of a trial.
        folder: an empty one, for what goes to standard error.
    """
    number = first
    gc.freeze()  # so that collections in the other process leave what is here alone
    while number < count:
        ours, theirs = FORKED.Pipe(duplex=False)
        work = (attempt, number, count, folder, bounds, theirs)
        process = FORKED.Process(target=_work, args=work)
        process.start()
        theirs.close()
        goes_on = True
        while goes_on and number < count:
            trial, goes_on = _next(ours, process, number, bounds)
            yield trial
            number += 1
        process.kill()
        process.join()
        ours.close()


def _next(
    ours: Connection, process: BaseProcess, number: int, bounds: Bounds
) -> tuple[Trial, bool]:
    """The next trial, and whether its process goes on."""
    try:
        if ours.poll(bounds.seconds):
            return ours.recv(), True
    except EOFError:
        process.join()
        return Trial(f"trial {number}", f"its process ended with {process.exitcode}"), False
    return Trial(f"trial {number}", f"nothing came of it in {bounds.seconds:g} s"), False


def _work(
    attempt: Attempt, first: int, count: int, folder: Path, bounds: Bounds, pipe: Connection
) -> None:
    file = os.open(folder / "stderr", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    os.dup2(file, 2)
    sys.stderr = os.fdopen(os.dup(file), "w", buffering=1, errors="backslashreplace")
    _limit_memory(bounds)
    before = _peak()
    for number in range(first, count):
        place, began = os.lseek(file, 0, os.SEEK_END), time.monotonic()
        try:
            trial = attempt(number)
        except BaseException as error:  # whatever it is, nothing was to come out
            trial = Trial(f"trial {number}", "".join(traceback.format_exception(error))[-2000:])
        left = os.pread(file, 2000, place).decode(errors="replace")
        grown = _peak() - before
        before += grown if grown > bounds.bytes else 0
        pipe.send(_judged(trial, bounds, grown, time.monotonic() - began, left))


def _judged(trial: Trial, bounds: Bounds, grown: int, seconds: float, left: str) -> Trial:
    faults = [trial.wrong]
    if grown > bounds.bytes:
        faults.append(f"it took {grown / 2**20:.0f} MiB")
    if seconds > bounds.seconds / 2:
        faults.append(f"it took {seconds:.1f} s")
    if not bounds.quiet.fullmatch(left):
        faults.append(f"it said on standard error: {left}")
    return Trial(trial.what, "; ".join(filter(None, faults)))


def _limit_memory(bounds: Bounds) -> None:
    """Far above the bound a trial gets a MemoryError, and the machine is left alone."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 4 * bounds.bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _peak() -> int:
    """Most memory that this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
