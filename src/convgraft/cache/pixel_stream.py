"""Pixels batch after batch in bounded memory, the next ones decoded while one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convgraft.cache.folder import Cache
from convgraft.cache.pixel_rows import pixel_entry, read_stored
from convgraft.data import BrokenImage, ImageSet, image_ids
from convgraft.data.decoded import AHEAD, HORIZON, PIECE, tell_layout
from convgraft.data.pixels import chosen_images
from convgraft.data.resize import read_into


@dataclass(frozen=True, eq=False)
class _Batch:
    """A batch on its way: its rows are there when all tasks are done."""

    indices: tuple[int, ...]
    canvas: NDArray[np.uint8]
    tasks: tuple[Future[dict[int, BrokenImage]], ...]


def stream_pixels(
    images: ImageSet,
    size: int,
    cache: Cache | None,
    *,
    indices: Sequence[int],
    batch: int,
    strict: bool = False,
    workers: int = 2,
    broken: list[BrokenImage] | None = None,
) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    """Images in the order of `indices`, `batch` after `batch`, as `load_pixels` decodes them.

    Stored pixels are read; others are decoded and not stored, so that a pass that stores features
    does not fill the disk with pixels as well. `AHEAD` batches are decoded in threads while the
    caller works on one.

    Args:
        cache: where pixels may be stored; None: decode everything.
        batch: images at a time; fewer in the last batch, and where images are broken.
        strict: raise for the first broken image instead of leaving broken ones out.
        workers: threads that decode.
        broken: the images left out are appended here.
        images, size: as for `load_pixels`.

    Yields:
        Indices of the images, and their pixels, uint8 [n, 3, size, size], channels last in memory.

    Raises:
        BrokenImage: with `strict`.
        DataError: `size` or an index is out of range.
    """
    chosen = chosen_images(images, size, indices)
    source = _Source(images, size, cache, chosen)
    starts = deque(range(0, len(chosen), batch))
    pool = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="decode")
    ahead: deque[_Batch] = deque()
    try:
        while starts or ahead:
            while starts and len(ahead) <= AHEAD:
                start = starts.popleft()
                ahead.append(source.begin(pool, slice(start, start + batch), workers, strict))
            kept, pixels, failed = _finish(ahead.popleft(), strict)
            if broken is not None:
                broken += failed
            if kept:
                yield kept, pixels
    finally:
        pool.shutdown(cancel_futures=True)


class _Source:
    """Begins batches: reads what is stored at once, and has threads decode the rest."""

    def __init__(
        self, images: ImageSet, size: int, cache: Cache | None, chosen: tuple[int, ...]
    ) -> None:
        self._images, self._size, self._chosen = images, size, chosen
        self._ids = None if cache is None else image_ids(images, chosen)
        self._entry = None if cache is None else pixel_entry(cache, size)

    def begin(self, pool: ThreadPoolExecutor, part: slice, workers: int, strict: bool) -> _Batch:
        indices = self._chosen[part]
        # channels last in memory, as decoders give pixels and as networks run fastest
        canvas = np.empty((len(indices), self._size, self._size, 3), np.uint8).transpose(0, 3, 1, 2)
        missing = np.arange(len(indices))
        if self._entry is not None and self._ids is not None and self._entry.rows:
            stored, values = read_stored(self._entry, self._ids[part])
            if values is not None:
                canvas[stored] = values.numpy()
            missing = np.flatnonzero(~stored)
        if len(missing):
            coming = self._chosen[part.stop :: len(indices)][:HORIZON]
            tell_layout(self._images, np.array(indices), [np.array([one]) for one in coming])
        length = max(1, min(PIECE, -(-len(missing) // max(workers, 1))))
        tasks = []
        for start in range(0, len(missing), length):
            rows = {row: indices[row] for row in missing[start : start + length].tolist()}
            tasks.append(pool.submit(read_into, canvas, self._images, rows, strict=strict))
        return _Batch(indices, canvas, tuple(tasks))


def _finish(
    made: _Batch, strict: bool
) -> tuple[tuple[int, ...], torch.Tensor, tuple[BrokenImage, ...]]:
    """Wait for a batch: its indices and pixels without the broken images, and these."""
    failed: dict[int, BrokenImage] = {}
    for task in made.tasks:
        failed |= task.result()
        if failed and strict:
            raise next(iter(failed.values()))
    if not failed:
        return made.indices, torch.from_numpy(made.canvas), ()
    kept = [row for row in range(len(made.indices)) if row not in failed]
    indices = tuple(made.indices[row] for row in kept)
    return indices, torch.from_numpy(made.canvas[kept]), tuple(failed.values())
