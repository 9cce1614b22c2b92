"""All images of a set decoded once, at one size."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional

from convgraft.data.broken import BrokenImage
from convgraft.data.columns import Labels
from convgraft.data.imageset import ImageSet
from convgraft.errors import DataError, RunError

IN_MEMORY_BYTES = 2 * 2**30
CHUNK = 64  # images per task: long enough to hide the cost of a task, short for the progress


@dataclass(frozen=True, eq=False)
class Pixels:
    """Decoded images of one size.

    Attributes:
        images: uint8 [N, 3, S, S], RGB; above `IN_MEMORY_BYTES` backed by a temporary file that
            goes when the tensor does.
        labels: int64 [N], of the main column; -1 is a missing label.
        indices: for each row, its index in the `ImageSet`.
        broken: the images left out, by rising index.
        others: the same as `labels` for each other column, by name.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: tuple[int, ...]
    broken: tuple[BrokenImage, ...]
    others: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    @property
    def columns(self) -> dict[str, torch.Tensor]:
        """Labels by column: `""` is the main one, then the others by name."""
        return {"": self.labels, **self.others}


@dataclass(frozen=True, eq=False)
class _Job:
    """Decodes the images at some positions of `indices` into the same rows of `canvas`."""

    images: ImageSet
    indices: tuple[int, ...]
    canvas: NDArray[np.uint8]
    strict: bool

    def __call__(self, positions: Sequence[int]) -> dict[int, BrokenImage]:
        broken: dict[int, BrokenImage] = {}
        size = self.canvas.shape[-1]
        for position in positions:
            try:
                pixels = self.images.read(self.indices[position])
            except BrokenImage as error:
                # A fresh one: the caught one keeps the file's bytes alive by its traceback.
                broken[position] = BrokenImage(error.id, error.reason)
                if self.strict:
                    break
            else:
                self.canvas[position] = resized(pixels, size).numpy()
        return broken


def load_pixels(
    images: ImageSet,
    size: int,
    *,
    indices: Sequence[int] | None = None,
    strict: bool = False,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Pixels:
    """Decode images and resize them to `size` x `size`; the aspect is not kept.

    An image of that size already is untouched; others are resized bilinearly with antialiasing.
    The result does not depend on `workers`.

    Args:
        images: where to read from.
        size: height and width of the result, in pixels.
        indices: which images, in this order; all by default.
        strict: raise for the broken image of lowest index instead of leaving broken ones out.
        workers: threads that decode.
        on_progress: called in this thread with images done and images in all.

    Raises:
        BrokenImage: with `strict`.
        DataError: `size` or an index is out of range, or every image is broken.
        RunError: the temporary file does not fit on the disk.
    """
    chosen = tuple(range(len(images)) if indices is None else map(int, indices))
    _check(images, size, chosen)
    job = _Job(images, chosen, _canvas(len(chosen), size), strict)
    broken = _decode_all(job, workers, on_progress)
    if chosen and len(broken) == len(chosen):
        raise DataError(
            f"none of the {len(chosen)} images of {images.location} can be read",
            found=str(next(iter(broken.values()))),
        )
    kept = [position for position in range(len(chosen)) if position not in broken]
    rows = tuple(chosen[position] for position in kept)
    others = {name: _labels(column.labels, rows) for name, column in images.others.items()}
    return Pixels(
        images=torch.from_numpy(_packed(job.canvas, kept)),
        labels=_labels(images.labels, rows),
        indices=rows,
        broken=tuple(broken.values()),
        others=others,
    )


def _labels(labels: Labels, rows: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(labels[list(rows)])


def _check(images: ImageSet, size: int, indices: Sequence[int]) -> None:
    if size < 1:
        raise DataError(f"the size {size} is too small", expected="1 pixel or more")
    if indices and not 0 <= min(indices) <= max(indices) < len(images):
        raise DataError(
            f"{images.location} has {len(images)} images",
            expected=f"indices 0..{len(images) - 1}",
            found=f"{min(indices)}..{max(indices)}",
        )


def _decode_all(
    job: _Job, workers: int, on_progress: Callable[[int, int], None] | None
) -> dict[int, BrokenImage]:
    """Broken images by position. Reads by rising index, as files and row groups lie."""
    order = sorted(range(len(job.indices)), key=lambda position: job.indices[position])
    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    broken: dict[int, BrokenImage] = {}
    done = 0
    pool = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="decode")
    try:
        for chunk, found in zip(chunks, pool.map(job, chunks), strict=True):
            if found and job.strict:
                raise next(iter(found.values()))
            broken |= found
            done += len(chunk)
            if on_progress is not None:
                on_progress(done, len(order))
    finally:
        pool.shutdown(cancel_futures=True)
    return broken


def resized(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 [3, H, W] to [3, size, size]; one of that size already is given back as it is."""
    if tuple(pixels.shape[-2:]) == (size, size):
        return pixels
    return functional.resize(pixels, [size, size], antialias=True)


def _canvas(count: int, size: int) -> NDArray[np.uint8]:
    shape = (count, 3, size, size)
    needed = count * 3 * size * size
    if needed <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.uint8)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RunError(
            f"decoded at {size}x{size}, {count} images do not fit in {folder}",
            expected=f"{needed / 2**30:.1f} GiB free",
            found=f"{free / 2**30:.1f} GiB",
            hint="choose a smaller size, or set TMPDIR to a folder on a larger disk",
        )
    with tempfile.TemporaryFile() as file:  # has no name; the mapping alone keeps it
        return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)


def _packed(canvas: NDArray[np.uint8], kept: Sequence[int]) -> NDArray[np.uint8]:
    """The kept rows moved together at the front, in place: the canvas may be larger than memory."""
    for row, position in enumerate(kept):
        if row != position:
            canvas[row] = canvas[position]
    return canvas[: len(kept)]
