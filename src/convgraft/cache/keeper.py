"""What a pass computes, kept: rows are gathered, and committed to their entries many at a time.

A commit writes the whole index of an entry. So that all commits together do not grow with the
square of the images, a large entry waits for more rows: as many bytes of them as its index has.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.cache.entry import Entry
from convgraft.cache.writer import Writer

COMMIT_BYTES = 64 * 2**20
COMMIT_SECONDS = 15.0
INDEX_BYTES = 8  # of an entry's index for each of its rows
INDEX_RATE = 10e6  # bytes of indexes that a second of waiting stands for
COMMITS = 4  # entries that are written at the same time: most of it is waiting for the disk

Ids = NDArray[np.uint64]


class Keeper:
    """Gathers rows and commits them to their entries, many at a time."""

    def __init__(self, places: Sequence[tuple[Entry, Writer | None]]) -> None:
        """Nothing is gathered yet.

        Args:
            places: entries, each with its writer; without one, every commit waits for its turn.
        """
        self.places = places
        self._held: list[tuple[Ids, tuple[Tensor, ...]]] = []
        self._bytes, self._began = 0, time.monotonic()

    def add(self, ids: Ids, values: Iterable[Tensor]) -> None:
        """Take in some images and their values, [n, ...], one for each place.

        All of them or none, wherever Ctrl-C comes: `flush` is called after it too.
        """
        made = tuple(value for _, value in zip(self.places, values, strict=True))
        self._held.append((ids, made))
        self._bytes += sum(value.nbytes for value in made)
        if self._is_enough():
            self.flush()

    def _is_enough(self) -> bool:
        indexes = sum(INDEX_BYTES * entry.rows for entry, _ in self.places)
        seconds = COMMIT_SECONDS + indexes / INDEX_RATE
        too_long = time.monotonic() - self._began > seconds
        return self._bytes > max(COMMIT_BYTES, indexes) or too_long

    def flush(self) -> None:
        """Commit all that was gathered."""
        if not self._held:
            return
        ids, values = zip(*self._held, strict=True)
        columns = list(zip(*values, strict=True))
        commit = partial(_commit, np.concatenate(ids))
        with ThreadPoolExecutor(COMMITS, "commit") as pool:
            for _ in pool.map(commit, self.places, columns):
                pass
        self._held, self._bytes, self._began = [], 0, time.monotonic()


def _commit(ids: Ids, place: tuple[Entry, Writer | None], column: Sequence[Tensor]) -> None:
    """Append what an entry does not have yet of the values of some images."""
    entry, writer = place
    if writer is None:
        with entry.writing() as its_turn:
            _commit(ids, (entry, its_turn), column)
        return
    new = entry.slots(ids) < 0
    if new.any():
        writer.append(ids[new], torch.cat(tuple(column))[torch.from_numpy(new)])
