"""Encoded images to pixels of one size, the same way wherever a network sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional

from convgraft.data.broken import BrokenImage
from convgraft.data.decode import QUIET, decode_array
from convgraft.data.imageset import ImageSet

HELD_BYTES = 4 * 2**20  # of decoded images that wait to be resized together


def resized(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """uint8 [..., 3, H, W] to [..., 3, size, size]; of that size already: given back as it is."""
    if tuple(pixels.shape[-2:]) == (size, size):
        return pixels
    return functional.resize(pixels, [size, size], antialias=True)


def read_resized(raw: bytes | NDArray[np.uint8], size: int, *, id: str = "image") -> torch.Tensor:
    """One image, encoded or grey pixels uint8 [H, W], as uint8 [3, size, size].

    What every network is given: training, evaluation and prediction see the same pixels. An image
    of that size already is untouched; others are resized bilinearly with antialiasing, the aspect
    not kept. A JPEG that is much larger is decoded at a reduced scale first (see `decode_array`).

    Raises:
        BrokenImage: the bytes cannot become pixels.
    """
    return resized(_channels_first([_array(raw, size, id)]), size)[0].contiguous()


def read_into(
    canvas: NDArray[np.uint8],
    images: ImageSet,
    rows: Mapping[int, int],
    *,
    strict: bool = False,
) -> dict[int, BrokenImage]:
    """Read images into rows of uint8 [N, 3, S, S], each as `read_resized` gives it.

    Images of equal shape are resized together, which is quicker and changes nothing.

    Args:
        canvas: where to; rows of broken images stay what they are.
        images: where from.
        rows: by row of the canvas, the index of the image; read in this order.
        strict: stop at the first broken image.

    Returns:
        The broken images by row.
    """
    size = canvas.shape[-1]
    broken: dict[int, BrokenImage] = {}
    waiting: dict[tuple[int, ...], dict[int, NDArray[np.uint8]]] = {}
    held = 0
    with QUIET:
        for row, index in rows.items():
            try:
                array = _array(images.raw(index), size, images.ids[index])
            except BrokenImage as error:
                # A fresh one: the caught one keeps the file's bytes alive by its traceback.
                broken[row] = BrokenImage(error.id, error.reason)
                if strict:
                    break
                continue
            waiting.setdefault(array.shape, {})[row] = array
            held += array.nbytes
            if held > HELD_BYTES:
                _write(canvas, waiting)
                waiting, held = {}, 0
    _write(canvas, waiting)
    return broken


def _array(raw: bytes | NDArray[np.uint8], size: int, id: str) -> NDArray[np.uint8]:
    if isinstance(raw, bytes):
        return decode_array(raw, id=id, size=size)
    return np.broadcast_to(raw[:, :, None], (*raw.shape, 3))


def _write(
    canvas: NDArray[np.uint8],
    waiting: Mapping[tuple[int, ...], Mapping[int, NDArray[np.uint8]]],
) -> None:
    for arrays in waiting.values():
        pixels = _channels_first(list(arrays.values()))
        canvas[list(arrays)] = resized(pixels, canvas.shape[-1]).numpy()


def _channels_first(arrays: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """N of [H, W, 3] to [N, 3, H, W], as they lie in memory."""
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
