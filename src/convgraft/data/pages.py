"""Pieces of files that are read whole and stay in memory for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

CACHE_BYTES = 32 * 2**20


class Pages:
    """Arrow arrays by number, read on first use; the longest unused go first.

    Up to `CACHE_BYTES` stay, and as many as are held in any case. Safe to call from several
    threads.
    """

    def __init__(self, read: Callable[[int], Any]) -> None:
        """Nothing is read yet; `read` gives the array of a number."""
        self._read = read
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._held = 1
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes, which read by themselves."""
        return {**self.__dict__, "_kept": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Nothing is in memory."""
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many are in memory."""
        return len(self._kept)

    def hold(self, count: int) -> None:
        """So many are read in turn, and stay, however large they are."""
        self._held = max(1, count)

    def get(self, number: int) -> Any:
        """The array of a number."""
        with self._lock:
            if number not in self._kept:
                self._kept[number] = self._read(number)
                self._forget()
            self._kept.move_to_end(number)
            return self._kept[number]

    def _forget(self) -> None:
        held = sum(values.nbytes for values in self._kept.values())
        while held > CACHE_BYTES and len(self._kept) > self._held:
            _, values = self._kept.popitem(last=False)
            held -= values.nbytes
