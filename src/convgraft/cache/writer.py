"""Appending to an entry: a chunk is there whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.cache.index import INDEX, Index, write_index
from convgraft.cache.row_file import ROWS
from convgraft.durable.on_disk import make_folder
from convgraft.errors import RunError

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
USED = "used"


class Writer:
    """Appends to an entry while its lock is held. Made by `Entry.writing`."""

    def __init__(
        self,
        folder: Path,
        known: Index,
        current: Callable[[], Index],
        on_commit: Callable[[Index], None],
    ) -> None:
        """`known`: what the entry knew when it asked for the lock; `current`: what it knows now."""
        self._folder, self._known, self._found = folder, known, current()
        self._current, self._on_commit = current, on_commit

    def append(self, ids: NDArray[np.uint64], values: Tensor) -> None:
        """Commit the values of some images, [N, *shape], as one chunk.

        When this returns they are on disk. Images that another one stored while this one waited for
        its turn are left out.

        Raises:
            RunError: the disk is full; what was committed before stays, and nothing of this chunk.
                Where nothing was committed before, the entry's folder is gone.
            ValueError: an image is there twice, or was known to be stored.
        """
        if len(ids) != len(values):
            raise ValueError(f"{len(ids)} ids for {len(values)} values")
        index = self._current()
        fresh = self._not_stored(ids, index)
        if not fresh.any():
            return
        kept = values if fresh.all() else values[torch.from_numpy(fresh)]
        rows = index.row.encode(kept)
        grown = index.with_chunk(ids[fresh], zlib.crc32(rows.data))
        with on_disk_problem(self._folder, "a chunk", needed=rows.nbytes):
            try:
                self._commit(rows, index, grown)
            except OSError:
                self._cut_off(index)
                raise
        self._on_commit(grown)

    def _not_stored(self, ids: NDArray[np.uint64], index: Index) -> NDArray[np.bool_]:
        """[N]; false for those that another one stored meanwhile."""
        fresh = index.lookup.find(ids) < 0
        meanwhile = (self._found.lookup.find(ids) >= 0) & (self._known.lookup.find(ids) < 0)
        if len(np.unique(ids)) < len(ids):
            raise ValueError("an image is in the chunk twice")
        if not (fresh | meanwhile).all():
            raise ValueError("an image was known to be stored, and is appended again")
        return fresh

    def _commit(self, rows: NDArray[np.uint8], index: Index, grown: Index) -> None:
        if not index.end:
            self._begin()
        with (self._folder / ROWS).open("r+b", buffering=0) as file:
            file.seek(_committed(index))
            file.truncate()  # what a killed writer left
            write_all(file, rows)
            os.fsync(file.fileno())
        write_index(self._folder, grown)

    def _begin(self) -> None:
        """An entry without rows. Those of a lost index go, and stay with who has them open."""
        make_folder(self._folder)
        for name in (INDEX, ROWS):
            (self._folder / name).unlink(missing_ok=True)
        (self._folder / ROWS).touch()
        (self._folder / USED).touch()

    def _cut_off(self, index: Index) -> None:
        """Leave nothing of a chunk that was not committed."""
        with suppress(OSError):
            if index.end:
                os.truncate(self._folder / ROWS, _committed(index))
            else:
                shutil.rmtree(self._folder)


def _committed(index: Index) -> int:
    return index.end * index.row.row_bytes


def write_all(file: BinaryIO, rows: NDArray[np.uint8]) -> None:
    """Write every byte; an unbuffered file may take them in parts."""
    left = np.ascontiguousarray(rows).data.cast("B")
    while left:
        left = left[file.write(left) :]


@contextmanager
def on_disk_problem(folder: Path, what: str, needed: int = 0) -> Iterator[None]:
    """Turn what the disk says into a RunError with a way out."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise RunError(
                f"{what} of stored values cannot be written in {folder}",
                found=error.strerror or str(error),
                hint="another folder, by CONVGRAFT_CACHE",
            ) from error
        raise RunError(
            f"the disk is full: {what} of stored values was not written in {folder}",
            expected=f"room for {needed / 2**20:.1f} MiB" if needed else None,
            found=f"{_free(folder) / 2**20:.1f} MiB free ({error.strerror})",
            hint="convgraft cache clear, or another folder, by CONVGRAFT_CACHE",
        ) from error


def _free(folder: Path) -> int:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(place).free
