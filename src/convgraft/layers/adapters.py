"""Adapters: the layers on a wire that make one tap's shape another's.

Every adapter maps [N, *shape_in] to [N, *shape_out], where a shape is (C, H, W) or (C,). Where
heights differ it resizes: average pooling down, bilinear up. With `start="zero"` it ends in a
per-channel gate at zero, so that it adds nothing until training opens it.

The layer that changes channels is called `mix`. The linear part, which a least squares solve can
fill in, is `adapter.mix` of a `conv1x1`, a `ridge` or a `ridge3x3`, and `adapter.mix.linear` of a
`residual` or a `residual3x3`: an `nn.Conv2d` with a bias. `ridge` and `ridge3x3` adapters are
always filled in before training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

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


def conv3x3(channels_in: int, channels_out: int) -> nn.Module:
    """A 3x3 convolution with bias."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def conv_block(channels_in: int, channels_out: int) -> nn.Module:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def small_cnn(channels_in: int, channels_out: int) -> nn.Module:
    """Two blocks twice as wide as the wider side, then a 1x1 convolution with bias."""
    hidden = 2 * max(channels_in, channels_out)
    return nn.Sequential(
        *conv_block(channels_in, hidden).children(),
        *conv_block(hidden, hidden).children(),
        nn.Conv2d(hidden, channels_out, 1),
    )


class ResidualMix(nn.Module):
    """W x + scale * B(x): one convolution and a block of two 3x3 convolutions beside it.

    The scale of each channel starts at zero: at the start this is its convolution `linear`, 1x1 or
    of another odd `kernel`.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 1) -> None:
        super().__init__()
        hidden = 4 * channels_out
        self.linear = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.block = nn.Sequential(
            *conv_block(channels_in, hidden).children(),
            nn.Conv2d(hidden, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.scale = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels_in, H, W] to [N, channels_out, H, W]."""
        return self.linear(x) + self.scale[:, None, None] * self.block(x)


LARGEST_DENSE_SIDE = 8

Layers = Mapping[str, nn.Module | None]


def dense_layers(shape_in: Shape, shape_out: Shape) -> Layers:
    """A dense layer from the pooled value to every number of a map of at most 8 x 8, resized.

    To a vector it is the dense layer alone.
    """
    height, width = shape_out[1:] or (1, 1)
    side = min(LARGEST_DENSE_SIDE, height), min(LARGEST_DENSE_SIDE, width)
    is_map, to_map = len(shape_in) == 3, len(shape_out) == 3
    return {
        "pool": Resize((1, 1), down=True) if is_map else None,
        "flat": Flat() if is_map else None,
        "mix": nn.Linear(shape_in[0], shape_out[0] * side[0] * side[1]),
        "unflat": nn.Unflatten(1, (shape_out[0], *side)) if to_map else None,
        "resize": Resize((height, width), down=False) if (height, width) != side else None,
    }


def softmax_layers(shape_in: Shape, shape_out: Shape) -> Layers:
    """Probabilities from a vector of logits, then as `dense_layers`."""
    return {"softmax": nn.Softmax(1), **dense_layers(shape_in, shape_out)}


@dataclass(frozen=True)
class AdapterKind:
    """One row of the adapter table.

    Attributes:
        mixes: makes the layer that changes the channels; None where channels must agree already.
        layers: makes all layers from both shapes, resizing included, in place of `mixes`.
        solved: whether its linear part is filled in by least squares before training, whatever the
            wire's start.
    """

    mixes: Callable[[int, int], nn.Module] | None = None
    layers: Callable[[Shape, Shape], Layers] | None = None
    solved: bool = False

    @property
    def changes_channels(self) -> bool:
        """Whether the two sides may have different numbers of channels."""
        return self.mixes is not None or self.layers is not None


ADAPTERS: Mapping[str, AdapterKind] = {
    "identity": AdapterKind(),
    "conv1x1": AdapterKind(conv1x1),
    "block": AdapterKind(conv_block),
    "cnn": AdapterKind(small_cnn),
    "residual": AdapterKind(ResidualMix),
    "residual3x3": AdapterKind(partial(ResidualMix, kernel=3)),
    "dense": AdapterKind(layers=dense_layers),
    "softmax": AdapterKind(layers=softmax_layers),
    "ridge": AdapterKind(conv1x1, solved=True),
    "ridge3x3": AdapterKind(conv3x3, solved=True),
}


def build_adapter(kind: str, shape_in: Shape, shape_out: Shape, *, gated: bool) -> nn.Module:
    """The adapter from one tap shape to another, as a small named sequence of layers.

    `gated` ends it with a gate at zero. Channels must agree for kinds that do not mix them.
    """
    row = ADAPTERS[kind]
    layers = row.layers or partial(_mixed_layers, row.mixes)
    adapter = nn.Sequential()
    for name, layer in layers(shape_in, shape_out).items():
        if layer is not None:
            adapter.add_module(name, layer)
    if gated:
        adapter.add_module("gate", Gate(shape_out[0]))
    return adapter


def _mixed_layers(
    mixes: Callable[[int, int], nn.Module] | None, shape_in: Shape, shape_out: Shape
) -> Layers:
    """Mixing and resizing, in the order that mixes on the smaller map."""
    size_in, size_out = shape_in[1:] or (1, 1), shape_out[1:] or (1, 1)
    down = size_out[0] * size_out[1] < size_in[0] * size_in[1]
    resize = None if size_in == size_out else Resize((size_out[0], size_out[1]), down=down)
    mix = mixes(shape_in[0], shape_out[0]) if mixes else None
    order = [("resize", resize), ("mix", mix)] if down else [("mix", mix), ("resize", resize)]
    is_flat = len(shape_in) == len(shape_out) == 1 and mix is None
    return {
        "unflat": Unflat() if len(shape_in) == 1 and not is_flat else None,
        **dict(order),
        "flat": Flat() if len(shape_out) == 1 and not is_flat else None,
    }
