"""The store of one value for many images, on disk: append-only rows and an index.

    KEY/rows.bin            rows, one after the other
    KEY/index.safetensors   what of it is committed: ids, chunks, checksums, row type, facts
    KEY/used                empty; its time is when the entry was last opened through a `Cache`
    KEY.lock                held by the one that writes

A writer that is killed leaves whole chunks: bytes beyond what the index says are overwritten by the
next one. Opening reads the index only, so that a large entry opens at once; a chunk's checksum is
looked at the first time that one of its rows is read, or all at once by `verify`, at about the
disk's speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convgraft.cache.index import Index, read_index, write_index
from convgraft.cache.lock import lock_of, locked
from convgraft.cache.precision import RowType
from convgraft.cache.row_file import ROWS, RowFile
from convgraft.cache.writer import Writer, on_disk_problem
from convgraft.errors import RunError


class DamagedRows(RunError):  # noqa: N818
    """Stored rows are not what was written. `Entry.verify` forgets them.

    Attributes:
        slots: [N], of those asked for that cannot be read.
    """

    def __init__(self, folder: Path, slots: NDArray[np.int64]) -> None:
        self.slots = slots
        super().__init__(
            f"{len(slots)} of the rows asked for in {folder} are damaged or gone",
            hint="the same command again, which computes them anew",
        )


class Entry:
    """Rows by image id. An object is for one thread; others, and other processes, open their own.

    Attributes:
        key: what the values depend on, as a hash; the folder's name.
        folder: where it lies. It may not exist, or be deleted at any time: then the entry is empty.
        row: shape and type of a row.
        facts: what the values are, for people; JSON.
    """

    def __init__(self, key: str, folder: Path, row: RowType, facts: Mapping[str, Any]) -> None:
        """Open what is there; nothing is written before the first row is."""
        self.key, self.folder, self.row, self.facts = key, folder, row, dict(facts)
        self._lock = lock_of(folder)
        self._file: RowFile | None = None
        self._sound = np.zeros(0, np.bool_)  # by slot: whether its chunk was found whole
        self.refresh()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets the way to the entry, not its contents."""
        return Entry, (self.key, self.folder, self.row, self.facts)

    @property
    def rows(self) -> int:
        """How many images are stored, as of the last look at the index."""
        return len(self._index.ids)

    def refresh(self) -> None:
        """Look at the index again: what others wrote, forgot or deleted meanwhile."""
        self._take_over(read_index(self.folder) or self._nothing())

    def slots(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where images are stored, [N]; -1 where they are not.

        A slot stays the same image's as long as this object is not refreshed, whatever others do.
        """
        return self._index.lookup.find(ids)

    def read(self, slots: NDArray[np.int64]) -> Tensor:
        """Stored values, [N, *shape], float32 or uint8; a fresh tensor.

        Raises:
            DamagedRows: they are not what was written, or not there.
        """
        if not len(slots):
            return self.row.decode(np.empty((0, self.row.row_bytes), np.uint8))
        try:
            if not self._sound[slots].all():
                self._check_first_reading(slots)
            return self.row.decode(self._open_file().take(slots))
        except IndexError as error:
            raise DamagedRows(self.folder, slots) from error

    def verify(self, slots: NDArray[np.int64] | None = None) -> int:
        """Check the chunks of these slots, or all; forget the damaged ones, on disk as well.

        `slots()` then says -1 for their images. The place of a forgotten chunk stays a hole. A
        chunk that was found whole is not read again by this object.

        Returns:
            The number of rows that this call forgot; 0 also where another process did before.
            Waits for a writer only where something is damaged.
        """
        if not self._damaged(slots).any():
            return 0
        with self.writing():
            before = self.rows
            damaged = self._damaged(slots)
            if damaged.any():
                with on_disk_problem(self.folder, "the index"):
                    index = self._index.without(damaged)
                    write_index(self.folder, index)
                self._take_over(index)
            return before - self.rows

    @contextmanager
    def writing(self, on_wait: Callable[[], None] | None = None) -> Iterator[Writer]:
        """Be the one that writes; knows, from then on, what others wrote before.

        Args:
            on_wait: called once where another process or thread is writing.

        Raises:
            UsageError: the cache folder cannot be written.
        """
        known = self._index
        with locked(self._lock, on_wait):
            self.refresh()
            yield Writer(self.folder, known, lambda: self._index, self._take_over)

    def _nothing(self) -> Index:
        return Index.empty(self.row, self.facts, time.time())

    def _take_over(self, index: Index) -> None:
        """Use an index and the rows that it speaks of; one of other rows, or without, is empty."""
        before, self._file = self._file, None
        if index.end and index.row == self.row:
            try:
                self._file = RowFile(self.folder / ROWS, self.row.row_bytes, index.end)
            except OSError:
                index = self._nothing()  # deleted meanwhile
        elif index.end:
            index = self._nothing()
        self._index = index
        sound = np.zeros(index.end, np.bool_)
        if before and self._file and before.identity == self._file.identity:
            kept = min(len(sound), len(self._sound))
            sound[:kept] = self._sound[:kept]
        self._sound = sound

    def _open_file(self) -> RowFile:
        if self._file is None:
            raise IndexError("nothing is stored")
        return self._file

    def _damaged(self, slots: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """[K], for each chunk whether it is damaged; chunks without any of the slots are not."""
        chunks = self._index.chunks
        damaged = np.zeros(len(chunks), np.bool_)
        asked = np.arange(len(chunks)) if slots is None else self._index.chunks_of(slots)
        for number in asked.tolist():
            start, stop, checksum = chunks[number].tolist()
            if not self._sound[start]:
                damaged[number] = self._open_file().checksum(start, stop) != checksum
                self._sound[start:stop] = not damaged[number]
        return damaged

    def _check_first_reading(self, slots: NDArray[np.int64]) -> None:
        damaged = self._damaged(slots)
        if damaged.any():
            numbers = np.searchsorted(self._index.chunks[:, 0], slots, side="right") - 1
            raise DamagedRows(self.folder, slots[damaged[numbers]])
