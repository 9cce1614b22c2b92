"""Mixes: one vector out of standardised branches. The learned half of a fusion.

All but the bilinear one take the branches as one vector, [N, sum of C], and cut it themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from convgraft.layers.adapters import Shape

LARGEST_RANK = 512
SCORER_WIDTH = 128
EXCITE_REDUCTION, EXCITE_LEAST = 16, 4


class Projections(nn.Module):
    """Each branch through a dense layer of its own to the width of the widest branch."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        ends = list(accumulate(channels))
        self.spans = tuple(zip([0, *ends], ends, strict=False))
        self.width = max(channels)
        self.layers = nn.ModuleList([nn.Linear(count, self.width) for count in channels])

    def forward(self, x: Tensor) -> Tensor:
        """[N, sum of C] to [N, branches, width]."""
        spans = zip(self.layers, self.spans, strict=True)
        return torch.stack([layer(x[:, start:end]) for layer, (start, end) in spans], 1)


class SumMix(nn.Module):
    """The sum of the projected branches, times `scale` (one over their number for the mean)."""

    def __init__(self, channels: Sequence[int], scale: float = 1.0) -> None:
        super().__init__()
        self.project, self.scale = Projections(channels), scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, sum of C] to [N, largest C]."""
        return self.project(x).sum(1) * self.scale


class AttentionMix(nn.Module):
    """The projected branches x_i, weighted for each sample by softmax_i(v . tanh(W x_i + b)).

    Source: Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, 2018.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.project = Projections(channels)
        hidden = min(SCORER_WIDTH, self.project.width)
        self.hidden = nn.Linear(self.project.width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        """[N, sum of C] to the share of each branch, [N, branches]; every row sums to one."""
        return self._shares(self.project(x))

    def forward(self, x: Tensor) -> Tensor:
        """[N, sum of C] to [N, largest C]."""
        branches = self.project(x)
        return (self._shares(branches)[:, :, None] * branches).sum(1)

    def _shares(self, branches: Tensor) -> Tensor:
        return self.score(torch.tanh(self.hidden(branches)))[:, :, 0].softmax(1)


class ExciteMix(nn.Module):
    """Channel attention, x * sigmoid(W2 relu(W1 x)): each channel scaled by what all others say.

    Source: Hu, Shen, Sun, Squeeze-and-Excitation Networks, 2018.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(EXCITE_LEAST, width // EXCITE_REDUCTION)
        self.squeeze, self.excite = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C] to the same."""
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(x))))


class BilinearMix(nn.Module):
    """Low-rank bilinear pooling: products of projected branches at each position, then averaged.

    Maps are averaged down to the smallest map's size; a vector is the same at every position. The
    average is taken to its signed square root and scaled to a mean square of one.

    Sources: Lin, RoyChowdhury, Maji, Bilinear CNN Models, 2015; Kim et al., Hadamard Product for
    Low-rank Bilinear Pooling, 2017.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        super().__init__()
        width = self.rank([shape[0] for shape in shapes])
        maps = [shape[1:] for shape in shapes if len(shape) == 3]
        size = [min(sides) for sides in zip(*maps, strict=True)] if maps else [1, 1]
        self.steps = nn.ModuleList([self._step(shape, size, width) for shape in shapes])

    @staticmethod
    def rank(channels: Sequence[int]) -> int:
        """Length of the vector: the channels of the widest branch, 512 at most."""
        return min(LARGEST_RANK, max(channels))

    @staticmethod
    def _step(shape: Shape, size: Sequence[int], width: int) -> nn.Module:
        project = nn.Conv2d(shape[0], width, 1)
        if len(shape) == 1:
            return nn.Sequential(nn.Unflatten(1, (shape[0], 1, 1)), project)
        # averaging and a 1x1 convolution commute: average first, it is cheaper
        resizes = list(shape[1:]) != list(size)
        shrink = nn.AdaptiveAvgPool2d((size[0], size[1])) if resizes else nn.Identity()
        return nn.Sequential(shrink, project)

    def forward(self, *branches: Tensor) -> Tensor:
        """Branches [N, C, H, W] or [N, C] to [N, rank]."""
        product: Tensor | None = None
        for step, branch in zip(self.steps, branches, strict=True):
            projected = step(branch)
            product = projected if product is None else product * projected
        assert product is not None
        return _unit_scale(_signed_root(product.mean((2, 3))))


def _signed_root(x: Tensor, tiny: float = 1e-5) -> Tensor:
    """sign(x) sqrt(|x|), its slope held finite near zero."""
    return x / (x.abs() + tiny).sqrt()


def _unit_scale(x: Tensor, tiny: float = 1e-5) -> Tensor:
    """x / |x| * sqrt(width), also where x is zero."""
    return x * (x.square().mean(1, keepdim=True) + tiny).rsqrt()
