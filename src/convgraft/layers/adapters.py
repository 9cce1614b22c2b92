"""Adapters: the layers on a wire that make one tap's shape another's.

Every adapter maps [N, *shape_in] to [N, *shape_out], where a shape is (C, H, W) or (C,). Where
heights differ it resizes: average pooling down, bilinear up. With `start="zero"` it ends in a
per-channel gate at zero, so that it adds nothing until training opens it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, ...]


class Gate(nn.Module):
    """Scales each channel by a learned number that starts at zero: [N, C, ...] to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x * scale, channel by channel."""
        return x * self.scale.view(-1, *[1] * (x.dim() - 2))


class Resize(nn.Module):
    """[N, C, H, W] to [N, C, height, width]: average pooling down, bilinear up."""

    def __init__(self, size: tuple[int, int], *, down: bool) -> None:
        super().__init__()
        self.size, self.down = size, down

    def forward(self, x: Tensor) -> Tensor:
        """The resized map."""
        if self.down:
            return F.adaptive_avg_pool2d(x, self.size)
        return F.interpolate(x, self.size, mode="bilinear", align_corners=False)

    def extra_repr(self) -> str:
        """Size and direction, for printing."""
        return f"size={self.size}, {'down' if self.down else 'up'}"


class Flat(nn.Module):
    """[N, C, 1, 1] to [N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """The map's only position."""
        return torch.flatten(x, 1)


class Unflat(nn.Module):
    """[N, C] to [N, C, 1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """The vector as a map of one position."""
        return x[:, :, None, None]


def conv1x1(channels_in: int, channels_out: int) -> nn.Module:
    """A 1x1 convolution with bias."""
    return nn.Conv2d(channels_in, channels_out, 1)


def conv_block(channels_in: int, channels_out: int) -> nn.Module:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


@dataclass(frozen=True)
class AdapterKind:
    """One row of the adapter table.

    Attributes:
        mixes: makes the layer that changes the channels; None where channels must agree already.
    """

    mixes: Callable[[int, int], nn.Module] | None


ADAPTERS: Mapping[str, AdapterKind] = {
    "identity": AdapterKind(None),
    "conv1x1": AdapterKind(conv1x1),
    "block": AdapterKind(conv_block),
}


def build_adapter(kind: str, shape_in: Shape, shape_out: Shape, *, gated: bool) -> nn.Module:
    """The adapter from one tap shape to another, as a small named sequence of layers.

    `gated` ends it with a gate at zero. Channels must agree for kinds that do not mix them.
    """
    size_in, size_out = shape_in[1:] or (1, 1), shape_out[1:] or (1, 1)
    down = size_out[0] * size_out[1] < size_in[0] * size_in[1]
    mixes = ADAPTERS[kind].mixes
    resize = None if size_in == size_out else Resize((size_out[0], size_out[1]), down=down)
    mix = mixes(shape_in[0], shape_out[0]) if mixes else None
    order = [("resize", resize), ("mix", mix)] if down else [("mix", mix), ("resize", resize)]
    is_flat = len(shape_in) == len(shape_out) == 1 and mix is None
    layers = {
        "unflat": Unflat() if len(shape_in) == 1 and not is_flat else None,
        **dict(order),
        "flat": Flat() if len(shape_out) == 1 and not is_flat else None,
        "gate": Gate(shape_out[0]) if gated else None,
    }
    adapter = nn.Sequential()
    for name, layer in layers.items():
        if layer is not None:
            adapter.add_module(name, layer)
    return adapter
