"""Batches of decoded images, the next ones made while the caller works on one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convgraft.data.broken import BrokenImage
from convgraft.data.imageset import ImageSet
from convgraft.data.layout import Rows
from convgraft.data.resize import read_into

AHEAD = 2  # batches that are decoded while the caller works on one
PIECE = 16  # images per task, unless a batch has fewer for each worker
HORIZON = 32  # batches whose shards are told beforehand to who may have to download them


@dataclass(frozen=True, eq=False)
class Decoded:
    """Some images of a set.

    Attributes:
        kept: places in the list that was asked for, of the images that could be read.
        pixels: uint8 [len(kept), 3, S, S].
        broken: by place, the other ones.
    """

    kept: tuple[int, ...]
    pixels: torch.Tensor
    broken: Mapping[int, BrokenImage]


def decoded_batches(
    images: ImageSet, size: int, batches: Sequence[Rows], *, workers: int = 2
) -> Iterator[Decoded]:
    """Batch after batch, each image as `read_resized` gives it, in the order asked for.

    At most `AHEAD` + 1 batches are in memory at a time.

    Args:
        batches: indices of images, int64; a batch may be empty.
        workers: threads that decode.
    """
    pool = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="decode")
    ahead: deque[_Begun] = deque()
    coming = 0
    try:
        for number in range(len(batches)):
            while coming < len(batches) and coming <= number + AHEAD:
                tell_layout(images, batches[coming], batches, coming + 1)
                ahead.append(_begin(pool, images, size, batches[coming], workers))
                coming += 1
            yield ahead.popleft().finish()
    finally:
        pool.shutdown(cancel_futures=True)


def decode_now(images: ImageSet, size: int, indices: Rows) -> Decoded:
    """One batch, in this thread."""
    tell_layout(images, indices)
    canvas = np.empty((len(indices), 3, size, size), dtype=np.uint8)
    broken = read_into(canvas, images, dict(enumerate(indices.tolist())))
    return _Begun(canvas, ()).finish(broken)


def tell_layout(images: ImageSet, now: Rows, batches: Sequence[Rows] = (), first: int = 0) -> None:
    """Say which shards are read now, and which ones by the batches from number `first` on."""
    if images.layout is None or images.layout.fetch is None:
        return
    then = [int(batch[0]) for batch in batches[first : first + HORIZON] if len(batch)]
    reading = np.unique(images.layout.run_of(now)).tolist()
    images.layout.fetch(reading, images.layout.run_of(then).tolist())


@dataclass(frozen=True, eq=False)
class _Begun:
    """A batch on its way: its rows are there when all tasks are done."""

    canvas: NDArray[np.uint8]
    tasks: tuple[Future[dict[int, BrokenImage]], ...]

    def finish(self, broken: Mapping[int, BrokenImage] | None = None) -> Decoded:
        failed = dict(broken or {})
        for task in self.tasks:
            failed |= task.result()
        kept = tuple(row for row in range(len(self.canvas)) if row not in failed)
        canvas = self.canvas[list(kept)] if failed else self.canvas
        return Decoded(kept, torch.from_numpy(canvas), failed)


def _begin(
    pool: ThreadPoolExecutor, images: ImageSet, size: int, indices: Rows, workers: int
) -> _Begun:
    canvas = np.empty((len(indices), 3, size, size), dtype=np.uint8)
    length = max(1, min(PIECE, -(-len(indices) // max(workers, 1))))
    tasks = []
    for start in range(0, len(indices), length):
        rows = {row: int(indices[row]) for row in range(start, min(start + length, len(indices)))}
        tasks.append(pool.submit(read_into, canvas, images, rows))
    return _Begun(canvas, tuple(tasks))
