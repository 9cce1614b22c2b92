"""Many files gone through side by side: how far it is gets told, and Ctrl-C ends it at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from queue import Empty, SimpleQueue
from typing import TypeVar

from convgraft.data.urls import Stopped

Progress = Callable[[str, int, int], None]
Item = TypeVar("Item")
Found = TypeVar("Found")

TICK = 0.2  # seconds between two words of progress
GRACE = 2.0  # seconds that a stopped download has to clear up after itself
MIB = 2**20


class Told:
    """How far some work is, as several threads tell it. Sizes in bytes are told on in MiB.

    Attributes:
        stopped: whether the work is to end.
    """

    def __init__(
        self, what: str, sizes: Mapping[str, int | None], on_progress: Progress | None
    ) -> None:
        """Nothing is done yet.

        Args:
            what: the work in words, without a unit.
            sizes: of each file by name, in bytes; where one is unknown, files are counted.
            on_progress: called with (what, done, total) by `tell`.
        """
        known = None not in sizes.values()
        self._sizes = {name: (size or 0) if known else 1 for name, size in sizes.items()}
        self._unit = MIB if known else 1
        self._what = f"{what} (MiB)" if known else what
        self._done: dict[str, int] = {}
        self._on_progress = on_progress
        self.stopped = False

    def at(self, name: str, done: int) -> None:
        """So many bytes of a file are done.

        Raises:
            Stopped: it is to end.
        """
        if self.stopped:
            raise Stopped
        self._done[name] = min(done, self._sizes[name]) if self._unit > 1 else 0

    def finished(self, name: str) -> None:
        """A file is done."""
        self._done[name] = self._sizes[name]

    def tell(self) -> None:
        """Say how far it is, in the thread of the caller."""
        if self._on_progress and self._sizes:
            whole, done = sum(self._sizes.values()), sum(list(self._done.values()))
            total = math.ceil(whole / self._unit)
            self._on_progress(self._what, total if done == whole else done // self._unit, total)


def each_file(
    items: Sequence[Item], work: Callable[[Item], Found], told: Told, *, threads: int
) -> list[Found]:
    """What `work` makes of every item, in their order; `told` is told on now and then.

    The first error ends it, as Ctrl-C does: what has not begun does not begin, and what asks `told`
    hears of it.
    """
    futures: list[Future[Found]] = [Future() for _ in items]
    waiting: SimpleQueue[tuple[Future[Found], Item]] = SimpleQueue()
    for pair in zip(futures, items, strict=True):
        waiting.put(pair)
    # not a pool: the interpreter would wait for its threads, however long a server is silent
    serving = [
        threading.Thread(target=_serve, args=(waiting, work, told), daemon=True)
        for _ in range(min(threads, len(items)))
    ]
    for thread in serving:
        thread.start()
    try:
        left: set[Future[Found]] = set(futures)
        while left:
            done, left = wait(left, timeout=TICK, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                break
            told.tell()
        return [future.result() for future in futures if future.done()]
    finally:
        told.stopped = True
        deadline = time.monotonic() + GRACE
        for thread in serving:
            thread.join(max(0.0, deadline - time.monotonic()))


def _serve(
    waiting: SimpleQueue[tuple[Future[Found], Item]], work: Callable[[Item], Found], told: Told
) -> None:
    while not told.stopped:
        try:
            future, item = waiting.get_nowait()
        except Empty:
            return
        try:
            future.set_result(work(item))
        except BaseException as error:  # whatever it is, the one who waits has to hear of it
            future.set_exception(error)
