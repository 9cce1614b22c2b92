"""A stranger's file to pixels: the size that it claims is looked at before it is decoded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convgraft.data import BrokenImage, read_resized
from convgraft.data.decode import UNTOLD, claimed_size
from convgraft.serve.refusal import Refusal, too_large

KINDS = "a whole JPEG, PNG, WebP, GIF, BMP or TIFF file"


def decode_picture(data: bytes, size: int, *, pixels: int, name: str) -> NDArray[np.uint8]:
    """The pixels of one file as the network takes them, uint8 [3, size, size].

    Args:
        pixels: most that a picture may have; a small file can claim very many.
        name: how messages call it, e.g. `images[3]`.

    Raises Refusal: 413 where it has too many pixels, 422 where it is no whole picture.
    """
    width, height = claimed_size(data) or (0, 0)
    if width * height > pixels:
        raise too_large(
            f"{name} has too many pixels",
            expected=f"{pixels:,} pixels or fewer",
            found="far more" if width == UNTOLD else f"{width} x {height}",
        )
    try:
        return read_resized(data, size, id=name).numpy()
    except BrokenImage as error:
        raise Refusal(422, f"{name} {error.reason}", expected=KINDS) from error
