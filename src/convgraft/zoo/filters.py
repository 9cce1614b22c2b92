"""Fixed filters as a network: a bank of kernels in one convolution layer.

    filters/gaussian                         one filter, on each colour
    filters/gaussian:size=7,sigma=1.5        with options
    filters/gaussian+sobel_x+sobel_y         several side by side, their channels in that order
    filters/random:size=3,channels=16,seed=3 kernels over all three colours
    filters/kernels:file=PATH                your own, see `convgraft.zoo.kernel_file`

A bank is a source like any other: a wire takes it in front of a network, a freeze policy says
whether its kernels learn. `KERNELS` in `convgraft.zoo.kernels` lists the filters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.errors import SourceError, near_miss
from convgraft.zoo.kernels import KERNELS, Option

COLOURS = 3
MAX_NUMBERS = 20_000_000  # in the kernels of a bank
_NEXT_FILTER = re.compile(r"\+(?=[A-Za-z_]\w*(?:[:+]|$))")  # a path may hold a + of its own
_NEXT_OPTION = re.compile(r",(?=\s*\w+=)")


class FilterBank(nn.Module):
    """Filters side by side in one convolution without bias: [N, 3, H, W] to [N, C, H, W].

    A kernel [k, k] acts on each colour alone and gives three channels; where all are of this kind
    the convolution is depthwise and stays so when it learns. A kernel [3, k, k] gives one channel;
    one such in a bank makes the convolution a full one. Channels are in the order of the kernels.
    The border is mirrored (reflection, the edge pixel not repeated), so that it makes no edges; an
    image must have more than k // 2 pixels a side.

    Args:
        kernels: a group of kernels for each filter, [n, k, k] or [n, 3, k, k], k odd; smaller
            ones are filled up with zeros.
    """

    def __init__(self, kernels: Sequence[Tensor]) -> None:
        super().__init__()
        self.size = max(group.shape[-1] for group in kernels)
        is_depthwise = all(group.dim() == 3 for group in kernels)
        rows = [_depthwise(group) if is_depthwise else _full(group) for group in kernels]
        weight = torch.cat([_filled_up(group, self.size) for group in rows])
        self.copies = len(weight) // COLOURS if is_depthwise else 1
        self.filter = nn.Conv2d(
            COLOURS * self.copies,
            len(weight),
            self.size,
            padding=self.size // 2,
            padding_mode="reflect",
            groups=COLOURS * self.copies if is_depthwise else 1,
            bias=False,
        )
        self.filter.weight.data = weight.to(self.filter.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The filtered images, filter by filter."""
        if self.copies > 1:
            x = x.repeat(1, self.copies, 1, 1)
        return self.filter(x)


def _depthwise(kernels: Tensor) -> Tensor:
    """[n, k, k] to [3 n, 1, k, k]: each kernel for red, green and blue."""
    return kernels.repeat_interleave(COLOURS, dim=0)[:, None]


def _full(kernels: Tensor) -> Tensor:
    """Any kernels to [rows, 3, k, k]; those of one colour are zero on the others."""
    if kernels.dim() == 4:
        return kernels
    alone = torch.eye(COLOURS, dtype=kernels.dtype)[None, :, :, None, None]
    return (alone * kernels[:, None, None]).flatten(0, 1)


def _filled_up(kernels: Tensor, size: int) -> Tensor:
    """Kernels with zeros around them, size x size."""
    return F.pad(kernels, [(size - kernels.shape[-1]) // 2] * 4)


def build_filters(text: str) -> FilterBank:
    """The bank that a spec names after `filters/`; raises SourceError for what it does not know.

    >>> build_filters("gaussian:size=7+sobel").filter.weight.shape
    torch.Size([9, 1, 7, 7])
    """
    kernels: list[Tensor] = []
    for part in _NEXT_FILTER.split(text):
        kernels.append(_read_filter(part))
        # filled up to the largest, over three colours
        numbers = COLOURS**2 * sum(map(len, kernels)) * max(k.shape[-1] for k in kernels) ** 2
        if numbers > MAX_NUMBERS:
            raise SourceError(
                f"filters/{part} makes the bank too large",
                expected=f"<= {MAX_NUMBERS:,} numbers in all kernels",
                found=f"{numbers:,}",
                hint="fewer filters, or smaller ones",
            )
    return FilterBank(kernels)


def _read_filter(text: str) -> Tensor:
    name, colon, options = text.partition(":")
    if name not in KERNELS:
        raise SourceError(
            f'there is no filter called "{name}"',
            expected=", ".join(KERNELS),
            hint=near_miss(name, KERNELS),
        )
    kind = KERNELS[name]
    given: dict[str, int | float | str] = {}
    for option in _NEXT_OPTION.split(options) if colon else ():
        key, _, value = option.strip().partition("=")
        if key not in kind.options or key in given:
            raise _unknown_option(name, key, twice=key in given)
        given[key] = _read_option(f"{name}:{key}", value, kind.options[key])
    count = max(int(given.get(key, 1)) for key in ("orientations", "channels"))
    if count * COLOURS * int(given.get("size", 1)) ** 2 > MAX_NUMBERS:
        raise SourceError(f"filters/{text} is too large", hint="fewer filters, or smaller ones")
    kernels = kind.make(**given)
    if not kernels.isfinite().all():
        raise SourceError(
            f"filters/{text} has numbers that are not finite", hint="options of a usual size"
        )
    return kernels


def _unknown_option(name: str, key: str, *, twice: bool) -> SourceError:
    known = KERNELS[name].options
    return SourceError(
        f'filter {name} is given "{key}" twice' if twice else f'{name} has no option "{key}"',
        expected=", ".join(f"{option}=" for option in known) or f"{name} alone",
        hint=near_miss(key, known),
    )


def _read_option(where: str, text: str, option: Option) -> int | float | str:
    try:
        return option.read(text)
    except ValueError as error:
        raise SourceError(
            f"filters/{where} cannot be that", expected=option.expected, found=text or "nothing"
        ) from error
