"""A stranger's file to pixels: the size that it claims is looked at before it is decoded."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convgraft.data import BrokenImage, read_resized
from convgraft.data.decode import FORMATS
from convgraft.serve.refusal import Refusal, too_large

KINDS = "a whole JPEG, PNG, WebP, GIF, BMP or TIFF file"
Size = tuple[int, int]
UNTOLD = 2**31  # side of a picture that Pillow will not even measure


def decode_picture(data: bytes, size: int, *, pixels: int, name: str) -> NDArray[np.uint8]:
    """The pixels of one file as the network takes them, uint8 [3, size, size].

    Args:
        pixels: most that a picture may have; a small file can claim very many.
        name: how messages call it, e.g. `images[3]`.

    Raises Refusal: 413 where it has too many pixels, 422 where it is no whole picture.
    """
    width, height = _claimed_size(data) or (0, 0)
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


def _claimed_size(data: bytes) -> Size | None:
    """Width and height by the file's header; None where there is none, or it cannot be read."""
    try:
        with Image.open(BytesIO(data), formats=_readers()) as image:
            return image.size
    except Image.DecompressionBombError:
        return UNTOLD, UNTOLD
    # Pillow's readers raise nearly every built-in type on damaged bytes; decoding says what it is.
    except Exception:
        return None


@cache
def _readers() -> tuple[str, ...]:
    Image.init()  # a Pillow that lacks one of the readers must still know the others
    return tuple(name for name in FORMATS if name in Image.OPEN)
