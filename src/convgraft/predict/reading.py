"""One file to the pixels that the network is given, or to what is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convgraft.data import BrokenImage, read_resized

LARGEST = 2**30  # bytes of an encoded image; more is no image, and would fill the memory


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
    for name in names:
        try:
            canvas[filled] = read_resized(_bytes(name), size, id=name).numpy()
            filled += 1
            errors.append(None)
        except BrokenImage as error:
            errors.append(error.reason)
    return canvas[:filled], tuple(errors)


def _bytes(name: str) -> bytes:
    try:
        path = Path(name)
        found = path.stat()
        if reason := _unreadable(found, name):
            raise BrokenImage(name, reason)
        return path.read_bytes()
    except OSError as error:
        raise BrokenImage(name, f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise BrokenImage(name, "cannot be read (a null character in its name)") from error


def _unreadable(found: os.stat_result, name: str) -> str | None:
    if stat.S_ISDIR(found.st_mode):
        listed = os.access(name, os.R_OK | os.X_OK)
        return "is a folder" if listed else "is a folder that cannot be listed"
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, perhaps for ever
        return "is not an ordinary file"
    return f"is larger than {LARGEST // 2**20} MiB" if found.st_size > LARGEST else None
