"""Fusions: how the values of several branches become one vector.

A branch is a map [N, C, H, W] or a vector [N, C], of any number of channels and any size. Networks
give features of very different scale, so every branch is standardised, channel by channel, by a
batch norm without weights. Then `mix` makes one vector, [N, width], of what is standardised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convgraft.layers.adapters import Shape
from convgraft.layers.mixes import AttentionMix, BilinearMix, ExciteMix, SumMix


def pool(inputs: Sequence[Tensor], shapes: Sequence[Shape]) -> list[Tensor]:
    """Each branch as a vector [N, C]: the mean over the positions of those that are maps."""
    return [
        x.mean((2, 3)) if len(shape) == 3 else x for x, shape in zip(inputs, shapes, strict=True)
    ]


class Fusion(nn.Module):
    """Branches of the given shapes, (C, H, W) or (C,), to one vector [N, width].

    Attributes:
        width: length of the vector.
        norm: what standardises: one batch norm over all pooled and concatenated branches, or one
            for each branch where the fusion needs positions.
        mix: what makes one vector of the standardised branches.

    >>> Fusion([(8, 4, 4), (6,)], "concat")(torch.rand(2, 8, 4, 4), torch.rand(2, 6)).shape
    torch.Size([2, 14])
    """

    def __init__(self, inputs: Sequence[Shape], fusion: str = "concat") -> None:
        super().__init__()
        kind = FUSIONS[fusion]
        self.shapes = tuple(tuple(shape) for shape in inputs)
        self.norm = _norm(self.shapes, pooled=kind.pooled)
        self.mix = kind.mixes(self.shapes)
        self.width = kind.width([shape[0] for shape in self.shapes])

    @property
    def pools(self) -> bool:
        """Whether it averages maps over positions before anything else."""
        return not isinstance(self.norm, nn.ModuleList)

    @property
    def standardisers(self) -> tuple[nn.Module, ...]:
        """The batch norms, whose statistics can also be set exactly from data."""
        return tuple(self.norm) if isinstance(self.norm, nn.ModuleList) else (self.norm,)

    def standardised(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What `mix` takes: one vector [N, sum of C], or every branch as it came."""
        if isinstance(self.norm, nn.ModuleList):
            return tuple(norm(x) for norm, x in zip(self.norm, inputs, strict=True))
        pooled = pool(inputs, self.shapes)
        return (self.norm(pooled[0] if len(pooled) == 1 else torch.cat(pooled, 1)),)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The fused vector, [N, width]."""
        return self.mix(*self.standardised(*inputs))

    def weights(self, *inputs: Tensor) -> Tensor:
        """How much of each branch goes into the vector, sample by sample: [N, branches].

        Only an `attention` fusion chooses; TypeError for the others.
        """
        if not isinstance(self.mix, AttentionMix):
            raise TypeError("only an attention fusion has weights of branches")
        return self.mix.weights(*self.standardised(*inputs))


def _norm(shapes: Sequence[Shape], *, pooled: bool) -> nn.Module:
    if pooled:
        return nn.BatchNorm1d(sum(shape[0] for shape in shapes), affine=False)
    norms = [nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d for shape in shapes]
    return nn.ModuleList(
        [norm(shape[0], affine=False) for norm, shape in zip(norms, shapes, strict=True)]
    )


@dataclass(frozen=True)
class FusionKind:
    """One row of the fusion table.

    Attributes:
        mixes: input shapes to the module that makes one vector of the standardised branches.
        width: the branches' channels to the length of that vector.
        pooled: whether it takes the branches pooled and concatenated (else each as it came).
        least: how many branches it needs.
    """

    mixes: Callable[[Sequence[Shape]], nn.Module]
    width: Callable[[Sequence[int]], int]
    pooled: bool = True
    least: int = 1


FUSIONS: Mapping[str, FusionKind] = {
    "concat": FusionKind(lambda shapes: nn.Identity(), sum),
    "sum": FusionKind(lambda shapes: SumMix(_channels(shapes)), max),
    "mean": FusionKind(lambda shapes: SumMix(_channels(shapes), 1 / len(shapes)), max),
    "attention": FusionKind(lambda shapes: AttentionMix(_channels(shapes)), max),
    "se": FusionKind(lambda shapes: ExciteMix(sum(_channels(shapes))), sum),
    "bilinear": FusionKind(
        BilinearMix, lambda channels: BilinearMix.rank(channels), pooled=False, least=2
    ),
}


def _channels(shapes: Sequence[Shape]) -> list[int]:
    return [shape[0] for shape in shapes]
