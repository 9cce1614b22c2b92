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

from convgraft.data.broken import BrokenImage
from convgraft.data.columns import Labels
from convgraft.data.imageset import ImageSet
from convgraft.data.resize import read_into
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

    An image of that size already is untouched; others are resized bilinearly with antialiasing,
    JPEGs that are much larger from a reduced scale (see `read_resized`). The result does not depend
    on `workers`.

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
    chosen = chosen_images(images, size, indices)
    canvas = new_canvas(len(chosen), size)
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, len(chosen))

    broken = fill_canvas(
        canvas, images, dict(enumerate(chosen)), strict=strict, workers=workers, told=told
    )
    return pixels_of(images, chosen, canvas, broken)


def chosen_images(images: ImageSet, size: int, indices: Sequence[int] | None) -> tuple[int, ...]:
    """The indices asked for, all by default; raises `DataError` for what `load_pixels` refuses."""
    chosen = tuple(range(len(images)) if indices is None else map(int, indices))
    if size < 1:
        raise DataError(f"the size {size} is too small", expected="1 pixel or more")
    if chosen and not 0 <= min(chosen) <= max(chosen) < len(images):
        raise DataError(
            f"{images.location} has {len(images)} images",
            expected=f"indices 0..{len(images) - 1}",
            found=f"{min(chosen)}..{max(chosen)}",
        )
    return chosen


def fill_canvas(
    canvas: NDArray[np.uint8],
    images: ImageSet,
    rows: Mapping[int, int],
    *,
    strict: bool,
    workers: int,
    told: Callable[[int], None],
) -> dict[int, BrokenImage]:
    """Read images into rows of the canvas, by rising index, as files and row groups lie.

    Args:
        rows: by row of the canvas, the index of the image.
        told: called in this thread with a number of further images that are done.

    Returns the broken images by row. With `strict`, raises the first of them.
    """
    order = sorted(rows, key=lambda row: rows[row])
    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]

    def read(chunk: Sequence[int]) -> dict[int, BrokenImage]:
        return read_into(canvas, images, {row: rows[row] for row in chunk}, strict=strict)

    broken: dict[int, BrokenImage] = {}
    pool = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="decode")
    try:
        for chunk, found in zip(chunks, pool.map(read, chunks), strict=True):
            if found and strict:
                raise next(iter(found.values()))
            broken |= found
            told(len(chunk))
    finally:
        pool.shutdown(cancel_futures=True)
    return broken


def pixels_of(
    images: ImageSet,
    chosen: Sequence[int],
    canvas: NDArray[np.uint8],
    broken: Mapping[int, BrokenImage],
) -> Pixels:
    """The rows of a filled canvas that are not broken, with their labels; the canvas is used up.

    Raises `DataError` if every image is broken.
    """
    if chosen and len(broken) == len(chosen):
        raise DataError(
            f"none of the {len(chosen)} images of {images.location} can be read",
            found=str(next(iter(broken.values()))),
        )
    kept = [row for row in range(len(chosen)) if row not in broken]
    indices = tuple(chosen[row] for row in kept)
    others = {name: _labels(column.labels, indices) for name, column in images.others.items()}
    return Pixels(
        images=torch.from_numpy(_packed(canvas, kept)),
        labels=_labels(images.labels, indices),
        indices=indices,
        broken=tuple(broken.values()),
        others=others,
    )


def _labels(labels: Labels, rows: Sequence[int]) -> torch.Tensor:
    return torch.from_numpy(labels[list(rows)])


def new_canvas(count: int, size: int) -> NDArray[np.uint8]:
    """Room for uint8 [count, 3, size, size]; above `IN_MEMORY_BYTES` in a file without a name."""
    shape = (count, 3, size, size)
    needed = count * 3 * size * size
    if needed <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.uint8)
    folder, free = tempfile.gettempdir(), _free()
    if needed > free:
        raise RunError(
            f"decoded at {size}x{size}, {count} images do not fit in {folder}",
            expected=f"{needed / 2**30:.1f} GiB free",
            found=f"{free / 2**30:.1f} GiB",
            hint="choose a smaller size, or set TMPDIR to a folder on a larger disk",
        )
    with tempfile.TemporaryFile() as file:  # has no name; the mapping alone keeps it
        return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)


def has_room(count: int, size: int) -> bool:
    """Whether so many decoded images fit in memory, or in a temporary file."""
    needed = count * 3 * size * size
    return needed <= IN_MEMORY_BYTES or needed <= _free()


def _free() -> int:
    return shutil.disk_usage(tempfile.gettempdir()).free


def _packed(canvas: NDArray[np.uint8], kept: Sequence[int]) -> NDArray[np.uint8]:
    """The kept rows moved together at the front, in place: the canvas may be larger than memory."""
    for row, position in enumerate(kept):
        if row != position:
            canvas[row] = canvas[position]
    return canvas[: len(kept)]
