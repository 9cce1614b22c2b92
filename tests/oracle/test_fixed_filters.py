"""Fixed kernels before a network, or instead of its first layers, against loops over the pixels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.compose import compose
from convgraft.sources import Source, source
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from helpers import small
from naive import Naive, assert_like, stir


def blurred(x: Tensor, kernel: Tensor) -> Tensor:
    """Each pixel as the weighed sum of the 3 x 3 around it; the border is mirrored."""
    around = F.pad(x, (1, 1, 1, 1), mode="reflect")
    height, width = x.shape[2:]
    total = torch.zeros_like(x)
    for row in range(3):
        for column in range(3):
            total = (
                total
                + kernel[row, column] * around[:, :, row : row + height, column : column + width]
            )
    return total


class Blurred(Naive):
    """A box of nine equal weights before the network."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.normalised("filters", image)
        kernel = self.sources.filters.filter.weight
        colours = [blurred(x[:, [c]], kernel[c, 0]) for c in range(3)]
        found = self.walk("a", torch.cat(colours, 1))
        return {"label": self.linear_head("label", found["flatten"])}


class BlurredFront(Blurred):
    """The same through a 1x1 convolution, instead of everything up to the first ReLU."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.normalised("filters", image)
        kernel = self.sources.filters.filter.weight
        x = torch.cat([blurred(x[:, [c]], kernel[c, 0]) for c in range(3)], 1)
        mix = self.adapters.get_submodule("filters:filter->a:relu").mix
        x = torch.einsum("oc,nchw->nohw", mix.weight[:, :, 0, 0], x) + mix.bias.view(-1, 1, 1)
        network = self.sources.a
        last = network.layer3(network.layer2(network.layer1(x)))
        return {"label": self.linear_head("label", last.mean((2, 3)))}


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return {"a": small(), "filters": source("filters/box:size=3")}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("into", "hand"), [("input", Blurred), ("relu", BlurredFront)])
def test_fixed_filters(
    into: str, hand: type[Naive], training: bool, sources: dict[str, Source]
) -> None:
    given = Ingredients(sources, 16, 7, StrategyOptions(into=into))
    composite = compose(STRATEGIES["fixed-filters"].write(given), sources)
    assert torch.equal(composite.sources.filters.filter.weight, torch.full((3, 1, 3, 3), 1 / 9))
    stir(composite.heads)
    assert_like(composite, hand(composite, sources), training=training)
