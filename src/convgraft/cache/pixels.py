"""Decoded pixels through the store: what one run has decoded and resized, every other one reads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convgraft.cache.entry import Entry
from convgraft.cache.folder import Cache
from convgraft.cache.pixel_rows import pixel_entry, read_stored
from convgraft.cache.pixel_stream import stream_pixels
from convgraft.cache.writer import Writer
from convgraft.data import BrokenImage, ImageSet, Pixels, image_ids, load_pixels
from convgraft.data.pixels import chosen_images, fill_canvas, new_canvas, pixels_of
from convgraft.errors import ConvgraftError

__all__ = ["cached_pixels", "stream_pixels"]

RUN_BYTES = 64 * 2**20  # decoded between two commits, and read at once
Ids = NDArray[np.uint64]
Rows = NDArray[np.int64]


def cached_pixels(
    images: ImageSet,
    size: int,
    cache: Cache | None,
    *,
    indices: Sequence[int] | None = None,
    strict: bool = False,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Pixels:
    """What `load_pixels` gives, without decoding again what is stored; stores what it decodes.

    Without a cache, or where an image's id is not to be had, it is `load_pixels`. Where not all
    images have room in the store, or it cannot be written (then with a warning), those that are
    stored are read, and the others are decoded and not stored.

    Broken images are not stored: they are tried again. So are rows that are damaged on disk.

    Args:
        cache: the store; None: decode everything.
        on_wait: called once if another process is decoding images of this size.
        images, size, indices, strict, workers, on_progress: as for `load_pixels`.

    Raises:
        BrokenImage, DataError, RunError: as `load_pixels` does.
    """
    chosen = chosen_images(images, size, indices)
    ids = None if cache is None else image_ids(images, chosen)
    if cache is None or ids is None:
        return load_pixels(
            images, size, indices=chosen, strict=strict, workers=workers, on_progress=on_progress
        )
    work = _Work(images, chosen, ids, new_canvas(len(chosen), size), pixel_entry(cache, size))
    progress = _Progress(on_progress, len(chosen))
    missing = work.read(np.argsort(chosen, kind="stable"), progress)
    broken: dict[int, BrokenImage] = {}
    if len(missing):
        with ExitStack() as stack:
            writer = _writer(stack, cache, work.entry, len(missing), on_wait)
            if writer is not None:  # others may have stored some while this one waited
                missing = work.read(missing, progress)
            for run in _runs(missing, work.entry):
                rows = {int(row): chosen[row] for row in run}
                found = fill_canvas(
                    work.canvas, images, rows, strict=strict, workers=workers, told=progress
                )
                broken |= found
                if writer is not None and not work.store(writer, run, found):
                    writer = None
    return pixels_of(images, chosen, work.canvas, broken)


@dataclass(frozen=True, eq=False)
class _Work:
    """Images on their way into rows of a canvas, uint8 [N, 3, S, S]."""

    images: ImageSet
    chosen: tuple[int, ...]
    ids: Ids
    canvas: NDArray[np.uint8]
    entry: Entry

    def read(self, rows: Rows, progress: _Progress) -> Rows:
        """Fill what is stored of some rows; gives the others, in the order given."""
        missing = [np.empty(0, np.int64)]
        for run in _runs(rows, self.entry):
            stored, values = read_stored(self.entry, self.ids[run])
            if values is not None:
                self.canvas[run[stored]] = values.numpy()
                progress(len(values))
            missing.append(run[~stored])
        return np.concatenate(missing)

    def store(self, writer: Writer, run: Rows, broken: Iterable[int]) -> bool:
        """Commit the rows of a run that were decoded; False where the disk takes no more."""
        rows = np.setdiff1d(run, np.fromiter(broken, np.int64))
        now = image_ids(self.images, [self.chosen[row] for row in rows])
        if now is not None:  # what changed while it was read may be the new image or the old one
            rows = rows[now == self.ids[rows]]
        ids, first = np.unique(self.ids[rows], return_index=True)  # asked for twice, stored once
        new = self.entry.slots(ids) < 0
        try:
            writer.append(ids[new], torch.from_numpy(self.canvas[rows[first[new]]]))
        except (ConvgraftError, OSError) as error:
            _warn(error)
            return False
        return True


class _Progress:
    """Counts images up to all."""

    def __init__(self, on_progress: Callable[[int, int], None] | None, total: int) -> None:
        self._on_progress, self._total, self._done = on_progress, total, 0

    def __call__(self, count: int) -> None:
        self._done += count
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)


def _runs(rows: Rows, entry: Entry) -> list[Rows]:
    """Rows in pieces of up to `RUN_BYTES`."""
    length = max(1, RUN_BYTES // entry.row.row_bytes)
    return [rows[start : start + length] for start in range(0, len(rows), length)]


def _writer(
    stack: ExitStack, cache: Cache, entry: Entry, count: int, on_wait: Callable[[], None] | None
) -> Writer | None:
    """Be the one that writes while `stack` lasts; None where `count` rows cannot be stored."""
    try:
        if not cache.make_room(count * entry.row.row_bytes, keep=(entry.key,)):
            return None
        return stack.enter_context(entry.writing(on_wait))
    except (ConvgraftError, OSError) as error:
        _warn(error)
        return None


def _warn(error: Exception) -> None:
    warnings.warn(f"pixels are decoded and not stored: {error}", stacklevel=4)
