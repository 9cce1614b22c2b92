"""One file to the pixels that the network is given, or to what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convgraft.data import BrokenImage, read_resized
from convgraft.data.decode import QUIET
from convgraft.data.file_bytes import file_bytes


def read_images(
    names: Sequence[str], size: int
) -> tuple[NDArray[np.uint8], tuple[str | None, ...]]:
    """Files as pixels, and for each file what is wrong with it, None where nothing is.

    Returns:
        uint8 [M, 3, size, size] of the M files that are images, in their order, with channels last
        in memory, as networks run fastest; and N texts, the rest of a sentence: `is empty`.
    """
    canvas = np.empty((len(names), size, size, 3), np.uint8).transpose(0, 3, 1, 2)
    errors: list[str | None] = []
    filled = 0
    with QUIET:
        for name in names:
            try:
                canvas[filled] = read_resized(file_bytes(name, id=name), size, id=name).numpy()
                filled += 1
                errors.append(None)
            except BrokenImage as error:
                errors.append(error.reason)
    return canvas[:filled], tuple(errors)
