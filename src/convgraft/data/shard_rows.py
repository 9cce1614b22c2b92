"""The encoded image of a sample in a tar shard: one read at an offset."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convgraft.data.ahead import Ahead
from convgraft.data.broken import BrokenImage
from convgraft.data.near import Near
from convgraft.data.shard_index import ShardIndex
from convgraft.errors import DataError

OPEN = 64  # shards that are open at once
TRIES = 3  # a copy of a remote shard may be evicted between two looks at it


class ShardRows:
    """Gives the encoded bytes of the image at an index. Safe to call from several threads."""

    def __init__(self, shards: Sequence[Near], indexes: Sequence[ShardIndex]) -> None:
        """Nothing is opened yet. A sample costs 16 bytes, a broken one some more."""
        self._shards = tuple(shards)
        lengths = [len(index) for index in indexes]
        self._firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        self._offsets = np.concatenate([index.offsets for index in indexes])
        self._lengths = np.concatenate([index.lengths for index in indexes])
        self._broken = {
            first + row: (f"{shard.name}#{index.keys[row]}", fault)
            for shard, index, first in zip(shards, indexes, self._firsts.tolist(), strict=True)
            for row, fault in index.faults.items()
        }
        self._stamps = [shard.stamp() for shard in shards]
        self._open: OrderedDict[int, _Opened] = OrderedDict()
        self._ahead = Ahead(shards)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        """For worker processes, which open shards by themselves."""
        return {**self.__dict__, "_open": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Nothing is open."""
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __call__(self, index: int) -> bytes:
        """The encoded bytes at `index`, counted over all shards.

        Raises:
            BrokenImage: the sample has no image that can be read.
            DataError: the shard changed since it was opened.
            RunError: it lies elsewhere and cannot be had.
        """
        if index in self._broken:
            raise BrokenImage(*self._broken[index])
        number = int(np.searchsorted(self._firsts, index, side="right")) - 1
        offset, length = int(self._offsets[index]), int(self._lengths[index])
        data = self._opened(number).read(offset, length)
        if len(data) != length:
            raise self._changed(number)
        return data

    def stamps(self, indices: Sequence[int]) -> list[str]:
        """For each index its shard as it is now, and the sample's place there."""
        chosen = np.asarray(indices, dtype=np.int64)
        numbers = np.searchsorted(self._firsts, chosen, side="right") - 1
        now = {number: self._stamp(number) for number in np.unique(numbers).tolist()}
        places = zip(numbers.tolist(), self._offsets[chosen].tolist(), strict=True)
        return [f"{now[number]} at {offset}" for number, offset in places]

    def fetch(self, now: Sequence[int], then: Sequence[int]) -> None:
        """Begin to download the first of the remote shards that come after those of `now`."""
        self._ahead.bring(now, then)

    def _stamp(self, number: int) -> str:
        now, then = self._shards[number].stamp(), self._stamps[number]
        return now if now == then else f"{now} opened as {then}"

    def _opened(self, number: int) -> _Opened:
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number]
        opened = self._open_shard(number)  # a download must not hold up who reads another shard
        with self._lock:
            self._open[number] = opened
            if len(self._open) > OPEN:
                self._open.popitem(last=False)
        return opened

    def _open_shard(self, number: int) -> _Opened:
        shard = self._shards[number]
        if shard.remote is None and shard.stamp() != self._stamps[number]:
            raise self._changed(number)
        for left in reversed(range(TRIES)):
            try:
                return _Opened(shard.here())
            except FileNotFoundError:
                if not left:
                    raise
        raise AssertionError

    def _changed(self, number: int) -> DataError:
        return DataError(
            f"the shard {self._shards[number].name} changed while it was used",
            expected=self._stamps[number],
            hint="begin anew, and leave shards as they are meanwhile",
        )


class _Opened:
    """A file that closes when the last one who reads it lets it go."""

    def __init__(self, path: Path) -> None:
        self._file = -1
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file, length, offset)
        with self._lock:  # Windows
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.read(self._file, length)

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)
