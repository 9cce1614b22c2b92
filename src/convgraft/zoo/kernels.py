"""The kernels of fixed filters, each with its formula; `KERNELS` is the table of them.

A maker gives [n, k, k], n kernels that see one channel each, or [n, 3, k, k], n kernels over all
three. Kernels are correlated with the image, as convolution layers do: the first row is the upper
one, and `sobel_x` is positive where the image grows brighter to the right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from convgraft.zoo.kernel_file import read_kernels


def identity(size: int = 1) -> Tensor:
    """One in the middle: the image as it is."""
    kernel = torch.zeros(1, size, size, dtype=torch.float64)
    kernel[:, size // 2, size // 2] = 1
    return kernel


def box(size: int = 3) -> Tensor:
    """The mean of size x size pixels."""
    return torch.full((1, size, size), 1 / size**2, dtype=torch.float64)


def gaussian(size: int = 5, sigma: float | None = None) -> Tensor:
    """exp(-(x² + y²) / 2 sigma²), summing to one; sigma in pixels, OpenCV's default for a size."""
    sigma = sigma or 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    x = _positions(size)
    row = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum())[None]


def sharpen() -> Tensor:
    """The image minus its Laplacian."""
    return _fixed([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])


def unsharp(size: int = 5, sigma: float | None = None, amount: float = 1.0) -> Tensor:
    """Unsharp masking: identity + amount * (identity - gaussian)."""
    image = identity(size)
    return image + amount * (image - gaussian(size, sigma))


def laplacian() -> Tensor:
    """The second derivative along both axes, four neighbours."""
    return _fixed([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


def sobel_x() -> Tensor:
    """The change to the right, smoothed by 1 2 1 (Sobel and Feldman, 1968)."""
    return _fixed([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def sobel_y() -> Tensor:
    """The change downwards."""
    return sobel_x().mT


def sobel() -> Tensor:
    """`sobel_x` and `sobel_y`."""
    return torch.cat([sobel_x(), sobel_y()])


def scharr_x() -> Tensor:
    """The change to the right, smoothed by 3 10 3, more alike in all directions (Scharr, 2000)."""
    return _fixed([[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]])


def scharr_y() -> Tensor:
    """The change downwards."""
    return scharr_x().mT


def scharr() -> Tensor:
    """`scharr_x` and `scharr_y`."""
    return torch.cat([scharr_x(), scharr_y()])


def gabor(
    size: int = 11,
    orientations: int = 8,
    wavelength: float = 4.0,
    sigma: float | None = None,
    aspect: float = 0.5,
) -> Tensor:
    """Cosine waves under a Gaussian, one for each of `orientations` angles from 0 to below 180°.

    exp(-(u² + aspect² v²) / 2 sigma²) cos(2 pi u / wavelength), u across the wave and v along it,
    less the share of the Gaussian that gives zero mean, scaled to unit norm (Daugman, 1985). Sigma
    is 0.56 wavelengths where not given: one octave of bandwidth.
    """
    sigma = sigma or 0.56 * wavelength
    angles = torch.arange(orientations, dtype=torch.float64)[:, None, None] * math.pi / orientations
    x = _positions(size)
    u = x[None, None, :] * angles.cos() + x[None, :, None] * angles.sin()
    v = x[None, :, None] * angles.cos() - x[None, None, :] * angles.sin()
    envelope = torch.exp(-(u**2 + (aspect * v) ** 2) / (2 * sigma**2))
    wave = envelope * torch.cos(2 * math.pi * u / wavelength)
    wave = wave - envelope * wave.sum((1, 2), keepdim=True) / envelope.sum((1, 2), keepdim=True)
    return wave / wave.norm(dim=(1, 2), keepdim=True)


def random(size: int = 3, channels: int | None = None, seed: int = 0) -> Tensor:
    """Normal numbers, a kernel's squares summing to one on average: a deviation of 1 / size.

    One kernel for one channel; with `channels`, that many over all three colours.
    """
    shape = (1, size, size) if channels is None else (channels, 3, size, size)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / math.sqrt(math.prod(shape[1:]))


def _positions(size: int) -> Tensor:
    return torch.arange(size, dtype=torch.float64) - size // 2


def _fixed(rows: list[list[int]]) -> Tensor:
    return torch.tensor([rows], dtype=torch.float64)


@dataclass(frozen=True)
class Option:
    """How an option of a filter is read.

    Attributes:
        read: its text to its value; raises ValueError where that will not do.
        expected: what it can be, in words.
    """

    read: Callable[[str], int | float | str]
    expected: str


@dataclass(frozen=True)
class KernelKind:
    """One row of the table: what makes the kernels, and the options that it takes."""

    make: Callable[..., Tensor]
    options: Mapping[str, Option]


def _where(read: Callable[[str], float], holds: Callable[[float], bool]) -> Callable[[str], float]:
    """Read a number that must be finite and hold to a condition; raises ValueError."""

    def checked(text: str) -> float:
        number = read(text)
        if not math.isfinite(number) or not holds(number):
            raise ValueError(text)
        return number

    return checked


MAX_SIZE, MAX_COUNT = 255, 4_096  # a plan of one line should not fill the memory
_ODD = Option(
    _where(int, lambda n: 1 <= n <= MAX_SIZE and n % 2 == 1),
    f"an odd number of pixels, e.g. 5, <= {MAX_SIZE}",
)
_WIDE = Option(
    _where(int, lambda n: 3 <= n <= MAX_SIZE and n % 2 == 1),
    f"an odd number of pixels from 3 to {MAX_SIZE}",
)
_ABOVE = Option(_where(float, lambda n: n > 0), "a number above 0")
_WAVE = Option(_where(float, lambda n: n >= 2), "a number of pixels from 2")
_ANY = Option(_where(float, lambda n: True), "a number")
_COUNT = Option(_where(int, lambda n: 1 <= n <= MAX_COUNT), f"a whole number, 1 to {MAX_COUNT:,}")
_SEED = Option(_where(int, lambda n: 0 <= n < 2**63), "a whole number from 0")
_FILE = Option(str, "a file")

KERNELS: Mapping[str, KernelKind] = {
    "identity": KernelKind(identity, {"size": _ODD}),
    "box": KernelKind(box, {"size": _ODD}),
    "gaussian": KernelKind(gaussian, {"size": _ODD, "sigma": _ABOVE}),
    "sharpen": KernelKind(sharpen, {}),
    "unsharp": KernelKind(unsharp, {"size": _ODD, "sigma": _ABOVE, "amount": _ANY}),
    "laplacian": KernelKind(laplacian, {}),
    "sobel_x": KernelKind(sobel_x, {}),
    "sobel_y": KernelKind(sobel_y, {}),
    "sobel": KernelKind(sobel, {}),
    "scharr_x": KernelKind(scharr_x, {}),
    "scharr_y": KernelKind(scharr_y, {}),
    "scharr": KernelKind(scharr, {}),
    "gabor": KernelKind(
        gabor,
        {
            "size": _WIDE,
            "orientations": _COUNT,
            "wavelength": _WAVE,
            "sigma": _ABOVE,
            "aspect": _ABOVE,
        },
    ),
    "random": KernelKind(random, {"size": _ODD, "channels": _COUNT, "seed": _SEED}),
    "kernels": KernelKind(read_kernels, {"file": _FILE}),
}
