"""Every Pillow pixel mode to 8-bit RGB, by rules that do not depend on other images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Bytes = NDArray[np.uint8]


def to_rgb(image: Image.Image) -> Bytes:
    """The image's pixels as uint8 [H, W, 3], perhaps read-only.

    Transparency is laid on white, 16-bit grey is divided by 257, and integer or float grey of
    another range is brought to 0..255 (see `integer_grey` and `float_grey`).
    """
    if image.mode.startswith("I;16"):
        return _three(sixteen_bit_grey(np.asarray(image)))
    if image.mode == "I":
        return _three(_integers(image))
    if image.mode == "F":
        return _three(float_grey(np.asarray(image)))
    if image.mode == "LAB":
        return np.array(_lab_to_rgb(image))
    if image.has_transparency_data:
        return np.array(_on_white(image))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def sixteen_bit_grey(values: NDArray[np.integer]) -> Bytes:
    """0..65535 to 0..255, rounded: 65535 is 257 times 255.

    >>> sixteen_bit_grey(np.array([0, 128, 129, 65535])).tolist()
    [0, 0, 1, 255]
    """
    return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)


def integer_grey(values: NDArray[np.integer]) -> Bytes:
    """Whole numbers as they are in 0..255, as 16-bit in 0..65535, else from lowest to highest."""
    if values.min() < 0 or values.max() > 65535:
        return _stretched(values.astype(np.float64))
    if values.max() > 255:
        return sixteen_bit_grey(values)
    return values.astype(np.uint8)


def float_grey(values: NDArray[np.floating]) -> Bytes:
    """Floats of 0..1 times 255, of 0..255 as they are, else from lowest to highest.

    What is not a finite number becomes 0 first.

    >>> float_grey(np.array([0.0, 0.5, 1.0, np.nan])).tolist()
    [0, 128, 255, 0]
    """
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    if finite.min() < 0 or finite.max() > 255:
        return _stretched(finite)
    scale = 255 if finite.max() <= 1 else 1
    return _rounded(finite * scale)


def _integers(image: Image.Image) -> Bytes:
    values = np.asarray(image)
    # Of these formats only 16-bit files come in this mode, so a dark one must not pass for 8-bit.
    return sixteen_bit_grey(values) if image.format in ("PPM", "PNG") else integer_grey(values)


def _stretched(values: NDArray[np.float64]) -> Bytes:
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, dtype=np.uint8)
    return _rounded((values - low) * 255 / (high - low))


def _rounded(values: NDArray[np.float64]) -> Bytes:
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)


def _three(grey: Bytes) -> Bytes:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # premultiplied grey converts only to its plain form
        image = image.convert("LA")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("its LAB colours cannot be converted")
    return converted
