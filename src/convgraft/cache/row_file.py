"""The rows of an entry as bytes: gathered quickly, without growing the resident memory.

A small file is mapped: a batch of 32 rows costs one fancy indexing, some 10 us. A mapped file that
is read in random order soon lies in memory as a whole, as every page fault brings in the pages
around it (hundreds of KiB with today's kernels); giving them back costs more than it saves. So no
more than `MAPPED_BYTES` are mapped in a process, and all that is beyond is read row by row at its
place, some 30 us, which takes no memory at all.
"""

from __future__ import annotations

import mmap
import os
import weakref
import zlib
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS = "rows.bin"
MAPPED_BYTES = 64 * 2**20  # of all files together
BLOCK = 4 * 2**20

_mapped: dict[int, int] = {}  # bytes of every mapped file
_numbers = count()


class RowFile:
    """An open `rows.bin`. It stays readable where somebody deletes the file (not on Windows)."""

    def __init__(self, path: Path, row_bytes: int, end: int) -> None:
        """Open the first `end` rows, or as many as there are; raises OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._descriptor)
        state = os.fstat(self._descriptor)
        self.identity = (state.st_dev, state.st_ino)
        self._row_bytes = row_bytes
        self.rows = min(end, state.st_size // row_bytes)
        self._mapped = self._map() if self._may_be_mapped() else None

    def _may_be_mapped(self) -> bool:
        """Whether this file is within what may be mapped; it is then counted while it is open."""
        length = self.rows * self._row_bytes
        if not hasattr(os, "pread"):
            return True
        if sum(_mapped.values()) + length > MAPPED_BYTES:
            return False
        number = next(_numbers)
        _mapped[number] = length
        weakref.finalize(self, _mapped.pop, number)
        return True

    def _map(self) -> NDArray[np.uint8]:
        if not self.rows:
            return np.empty((0, self._row_bytes), np.uint8)
        length = self.rows * self._row_bytes
        mapped = mmap.mmap(self._descriptor, length, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, np.uint8).reshape(self.rows, self._row_bytes)

    def take(self, slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some rows, [N, row_bytes], in fresh memory.

        Raises IndexError for a slot that lies outside of the file.
        """
        if len(slots) and (slots.min() < 0 or slots.max() >= self.rows):
            raise IndexError(f"slots of 0 to {self.rows - 1} are there")
        if self._mapped is not None:
            return self._mapped.take(slots, axis=0)
        length = self._row_bytes
        places = (slots * length).tolist()
        read = bytearray().join([os.pread(self._descriptor, length, place) for place in places])
        if len(read) != len(slots) * length:
            raise IndexError("the file has become shorter")
        return np.frombuffer(read, np.uint8).reshape(len(slots), length)

    def checksum(self, start: int, stop: int) -> int | None:
        """CRC-32 of the rows from `start` to before `stop`; None where they are not all there."""
        if stop > self.rows:
            return None
        checksum = 0
        for place in range(start, stop, self._block):
            read = self._read(place, min(place + self._block, stop))
            if read is None:
                return None
            checksum = zlib.crc32(read, checksum)
        return checksum

    @property
    def _block(self) -> int:
        return max(1, BLOCK // self._row_bytes)

    def _read(self, start: int, stop: int) -> bytes | memoryview | None:
        if not hasattr(os, "pread") and self._mapped is not None:
            return self._mapped[start:stop].data
        # not through the map: reading beyond the end of a file cut short would end the process
        length = (stop - start) * self._row_bytes
        read = os.pread(self._descriptor, length, start * self._row_bytes)
        return read if len(read) == length else None
