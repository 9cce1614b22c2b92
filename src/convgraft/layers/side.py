"""A side network: a small ladder beside frozen networks that climbs from tap to tap.

Source: Sung, Cho, Bansal, LST: Ladder Side-Tuning for Parameter and Memory Efficient Transfer
Learning, 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from convgraft.layers.adapters import Shape
from convgraft.layers.fusions import pool

SIDE_WIDTH = 128


class SideBlock(nn.Module):
    """x + W2 gelu(W1 norm(x)), [N, C] to the same; W2 starts at zero, so it starts as x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(2 * width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """The value and what the block adds to it."""
        return x + self.layers(x)


class SideHead(nn.Module):
    """A gated ladder over taps in the given order, then a classifier: [N, classes].

    Every tap is pooled, standardised and projected to p_i of width 128. The ladder starts at
    h_0 = p_0 and climbs by h_i = g_i h_{i-1} + (1 - g_i) p_i, with a learned gate
    g_i = sigmoid(alpha_i) that starts at one half. A residual block follows each rung.
    """

    pools = True  # averages maps over positions before anything else

    def __init__(self, inputs: Sequence[Shape], classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.shapes = tuple(tuple(shape) for shape in inputs)
        channels = [shape[0] for shape in inputs]
        self.norms = nn.ModuleList([nn.BatchNorm1d(count, affine=False) for count in channels])
        self.projections = nn.ModuleList([nn.Linear(count, SIDE_WIDTH) for count in channels])
        self.blocks = nn.ModuleList([SideBlock(SIDE_WIDTH) for _ in channels])
        self.alphas = nn.Parameter(torch.zeros(len(channels) - 1)) if len(channels) > 1 else None
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(SIDE_WIDTH, classes)

    @property
    def standardisers(self) -> tuple[nn.Module, ...]:
        """The batch norms, whose statistics can also be set exactly from data."""
        return tuple(self.norms)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits [N, classes] from maps [N, C, H, W] or vectors [N, C]."""
        pooled = pool(inputs, self.shapes)
        steps = zip(pooled, self.norms, self.projections, strict=True)
        rungs = [project(norm(x)) for x, norm, project in steps]
        side = self.blocks[0](rungs[0])
        if self.alphas is not None:
            gates = torch.sigmoid(self.alphas)
            for number, rung in enumerate(rungs[1:]):
                side = self.blocks[number + 1](rung + gates[number] * (side - rung))
        return self.classifier(self.dropout(side))
