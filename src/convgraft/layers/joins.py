"""Joins: what happens where a wire arrives at a tap.

A join takes the tap's own value t, [N, C, ...], and the adapted values r that arrive there, of the
same shape (a concat takes other channel counts too), and gives what the network goes on with: an
add t + r1 + r2 + ..., a replace r. These two have no weights and are no layers: the graph says it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convgraft.layers.adapters import Gate, Shape


class CrossFade(nn.Module):
    """t + g * (r - t): a learned gate per channel between t (g = 0) and r (g = 1)."""

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.full((channels,), start))

    def forward(self, own: Tensor, arriving: Tensor) -> Tensor:
        """The mixture, [N, C, ...]."""
        gate = self.gate.view(-1, *[1] * (own.dim() - 2))
        return own + gate * (arriving - own)


class Concat(nn.Module):
    """A 1x1 convolution over [t, r1, r2, ...] back to the channels of t.

    With a zero start it is added to t through a gate at zero.
    """

    def __init__(self, channels: int, arriving: int, *, gated: bool) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels + arriving, channels, 1)
        self.gate = Gate(channels) if gated else None

    def forward(self, own: Tensor, *arriving: Tensor) -> Tensor:
        """The fused value, [N, C, H, W] (or [N, C])."""
        both = torch.cat([own, *arriving], 1)
        flat = both.dim() == 2
        mixed = self.mix(both[:, :, None, None] if flat else both)
        mixed = torch.flatten(mixed, 1) if flat else mixed
        return mixed if self.gate is None else own + self.gate(mixed)


@dataclass(frozen=True)
class JoinKind:
    """One row of the join table.

    Attributes:
        build: (own shape, arriving shapes, starts at zero) to the layer; None where it is none.
        starts: the starts that make sense, the default first; `ridge` has training begin with
            the adapter that fits best by least squares.
        many: whether several taps may arrive on one wire.
        gated_adapter: whether a zero start is made by the adapter's gate (else by the join).
        any_channels: whether an identity adapter may bring another number of channels.
    """

    build: Callable[[Shape, tuple[Shape, ...], bool], nn.Module] | None = None
    starts: tuple[str, ...] = ("zero", "one")
    many: bool = False
    gated_adapter: bool = False
    any_channels: bool = False


def _build_concat(own: Shape, arriving: tuple[Shape, ...], zero: bool) -> nn.Module:
    return Concat(own[0], sum(shape[0] for shape in arriving), gated=zero)


JOINS: Mapping[str, JoinKind] = {
    "add": JoinKind(many=True, gated_adapter=True),
    "concat": JoinKind(_build_concat, many=True, any_channels=True),
    "gate": JoinKind(lambda own, arriving, zero: CrossFade(own[0], 0.0 if zero else 1.0)),
    "replace": JoinKind(starts=("one", "ridge")),
}
