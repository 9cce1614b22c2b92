"""Encoded bytes to pixels; whatever is wrong with the bytes is a `BrokenImage`."""

from __future__ import annotations

import logging
import threading
import warnings
from functools import cache
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from convgraft.data.broken import BrokenImage
from convgraft.data.modes import to_rgb

# A closed list: other Pillow readers are rare in image sets, and one starts another program.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
UNTOLD = 2**31
LONGEST_SIDE = 2**18  # resizing what is longer, and thin, takes gigabytes
REDUCED = 2  # a JPEG at a reduced scale still has this many times the side it is resized to
# Pixels are stored on disk. Raise this with every change after which some image has others.
DECODER = 1
# Pillow's readers log what they find odd; without a handler Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")


def decode(data: bytes, *, id: str = "image") -> torch.Tensor:
    """The pixels of one encoded image: uint8 [3, H, W], RGB, upright by its EXIF orientation.

    Of an animation the first frame is read; transparency is laid on white.

    Raises:
        BrokenImage: the bytes are empty, no image, cut short, damaged, or hold more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`, or have a side above `LONGEST_SIDE`. No other error comes
            out, and no warning.
    """
    pixels = decode_array(data, id=id)
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))


def decode_array(data: bytes, *, id: str = "image", size: int | None = None) -> NDArray[np.uint8]:
    """The same as uint8 [H, W, 3], perhaps read-only, for what resizes it to `size` x `size`.

    With a size, a JPEG of four times that or more in both directions is decoded at a half, a
    quarter or an eighth of its size (never below `REDUCED` times `size`), which takes a third of
    the time, and comes as [size, size, 3]. It differs by a grey level or less on average.

    Raises:
        BrokenImage: as `decode` does.
    """
    if not data:
        raise BrokenImage(id, "is empty")
    with QUIET:
        try:
            return _pixels(data, id, size)
        except BrokenImage:
            raise
        # Pillow's readers raise nearly every built-in type on damaged bytes.
        except Exception as error:
            raise BrokenImage(id, _reason(error, data)) from error


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header alone; None where there is none, or it cannot be read.

    A side that Pillow will not even measure is `UNTOLD`.
    """
    with QUIET:
        try:
            with Image.open(BytesIO(data), formats=_formats()) as image:
                return image.size
        except Image.DecompressionBombError:
            return UNTOLD, UNTOLD
        # Decoding says what it is.
        except Exception:
            return None


def _pixels(data: bytes, id: str, size: int | None) -> NDArray[np.uint8]:
    with Image.open(BytesIO(data), formats=_formats()) as image:
        if _too_large(image):
            raise Image.DecompressionBombError
        if max(image.size) > LONGEST_SIDE:
            raise BrokenImage(id, f"is longer than {LONGEST_SIDE} pixels on one side")
        if size is not None and (box := _reduce(image, size)) is not None:
            rgb = image.convert("RGB")
            return to_rgb(_upright(rgb.resize((size, size), Image.Resampling.BILINEAR, box)))
        image.load()
        return to_rgb(_upright(image))


def _reduce(image: Image.Image, size: int) -> tuple[float, float, float, float] | None:
    """Have a large JPEG decoded at a reduced scale: where in that the whole image lies.

    The sides of the reduced image are rounded up. Without the box, its last column would be taken
    for a whole one and the picture be stretched by up to half a pixel of the result.
    """
    if image.format not in ("JPEG", "MPO") or min(image.size) < 2 * REDUCED * size:
        return None
    reduced = image.draft("RGB", (REDUCED * size, REDUCED * size))
    return None if reduced is None else reduced[1]


@cache
def _formats() -> tuple[str, ...]:
    Image.init()  # a Pillow that lacks one of the readers must still read the others
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _too_large(image: Image.Image) -> bool:
    limit = Image.MAX_IMAGE_PIXELS
    return limit is not None and image.width * image.height > limit


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(0x0112, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    # Unreadable EXIF data says nothing about the pixels, which have loaded by now.
    except Exception:
        return image


def _reason(error: Exception, data: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"is larger than {Image.MAX_IMAGE_PIXELS} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "is cut short" if data.startswith(SIGNATURES) else _not_an_image(data)
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "is cut short"
    return f"is damaged ({str(error) or type(error).__name__})"


def _not_an_image(data: bytes) -> str:
    head = data[:64].strip()[:16].strip()
    if head.isascii() and (text := head.decode("ascii")).isprintable():
        return f"is not an image (starts with {text!r})"
    return f"is not an image (starts with the bytes {data[:4].hex(' ')})"


class _Quiet:
    """Hides warnings while any thread decodes.

    `warnings.catch_warnings` swaps a global list, so overlapping uses from several threads could
    restore each other's filters; here the first thread in swaps and the last one out restores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._caught = warnings.catch_warnings()
            self._caught.__enter__()
            warnings.simplefilter("ignore")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


QUIET = _Quiet()  # round many images costs less than round each
