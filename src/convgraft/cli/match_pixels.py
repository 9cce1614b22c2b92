"""The pixels of a match: of several ranks each decodes what it looks at, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.data import BrokenImage, ImageSet, Pixels, load_pixels
from convgraft.data.pixels import fill_canvas, new_canvas, pixels_of
from convgraft.errors import DataError
from convgraft.match.matching import BATCH
from convgraft.training.process_group import Group

THREADS = 2  # that decode


def match_pixels(
    images: ImageSet,
    size: int,
    chosen: Sequence[int],
    group: Group,
    on_progress: Callable[[int, int], None],
) -> Pixels:
    """The chosen images that are not broken; of several ranks each has decoded its own share.

    Broken images are left out on all ranks, whoever found them. What a rank asks for beyond its
    share is decoded then.

    Raises:
        DataError: every image is broken.
        RunError: another rank failed.
    """
    if group.world == 1:
        return load_pixels(images, size, indices=chosen, on_progress=on_progress)
    canvas = new_canvas(len(chosen), size)
    own = np.arange(len(chosen)) // BATCH % group.world == group.rank
    rows = {row: chosen[row] for row in np.flatnonzero(own).tolist()}
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done, len(rows))

    found = group.each(
        lambda: fill_canvas(canvas, images, rows, strict=False, workers=THREADS, told=told)
    )
    heard = group.gather([[row, one.id, one.reason] for row, one in found.items()])
    broken = {row: BrokenImage(name, why) for rank in heard for row, name, why in rank}
    broken = {row: broken[row] for row in sorted(broken)}
    pixels = pixels_of(images, chosen, canvas, broken)
    there = np.delete(own, list(broken))
    return replace(pixels, images=cast(Tensor, OwnImages(images, pixels, there)))


class OwnImages:
    """Stands for uint8 [N, 3, S, S], of which some are decoded; others are when they are taken."""

    def __init__(self, images: ImageSet, pixels: Pixels, there: NDArray[np.bool_]) -> None:
        """`there`: which rows of `pixels` are decoded, [N]."""
        self._set, self._indices = images, pixels.indices
        self._pixels, self._there = pixels.images, there.copy()
        self.shape, self.dtype, self.device = self._pixels.shape, torch.uint8, torch.device("cpu")

    def __len__(self) -> int:
        """The number of images."""
        return len(self._pixels)

    @property
    def decoded(self) -> int:
        """How many of them are decoded."""
        return int(self._there.sum())

    def __getitem__(self, key: Any) -> Tensor:
        """The images at rows, a slice of rows, or where a mask is true; raises DataError."""
        rows = torch.arange(len(self))[key].reshape(-1).numpy()
        missing = {row: self._indices[row] for row in rows[~self._there[rows]].tolist()}
        canvas = self._pixels.numpy()
        broken = fill_canvas(
            canvas, self._set, missing, strict=False, workers=THREADS, told=lambda count: None
        )
        if broken:
            raise DataError(
                f"images of {self._set.location} changed while they were used",
                found=str(next(iter(broken.values()))),
            )
        self._there[list(missing)] = True
        return self._pixels[key]
