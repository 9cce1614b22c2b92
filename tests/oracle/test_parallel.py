"""Parallel branches, every fusion, against networks joined by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.compose import compose
from convgraft.layers import FUSIONS
from convgraft.sources import Source, source
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from helpers import Tiny, small
from naive import Naive, assert_like, dense, stir


class Branches(Naive):
    """A CIFAR ResNet with 64 features and a small network with 8, side by side."""

    fusion: str

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        first = self.walk("a", self.normalised("a", image))["flatten"]
        tiny = self.sources["b"]
        x = F.relu(tiny.bn(tiny.conv(self.normalised("b", image))))
        second = tiny.conv2(x).mean((2, 3))
        head = self.heads.label
        if self.fusion == "bilinear":
            one, other = head.norm
            fused = self.bilinear(self.standardised(one, first), self.standardised(other, second))
        else:
            fused = getattr(self, self.fusion)(
                self.standardised(head.norm, torch.cat([first, second], 1))
            )
        return {"label": dense(head.classifier, fused)}

    def concat(self, x: Tensor) -> Tensor:
        return x

    def projected(self, project: torch.nn.Module, x: Tensor) -> list[Tensor]:
        one, other = project.layers
        return [dense(one, x[:, :64]), dense(other, x[:, 64:])]

    def sum(self, x: Tensor) -> Tensor:
        one, other = self.projected(self.heads.label.mix.project, x)
        return one + other

    def mean(self, x: Tensor) -> Tensor:
        return self.sum(x) / 2

    def attention(self, x: Tensor) -> Tensor:
        mix = self.heads.label.mix
        branches = self.projected(mix.project, x)
        scores = [torch.tanh(dense(mix.hidden, b)) @ mix.score.weight[0] for b in branches]
        rows = []
        for row in range(len(x)):
            shares = torch.stack([score[row] for score in scores]).softmax(0)
            rows.append(shares[0] * branches[0][row] + shares[1] * branches[1][row])
        return torch.stack(rows)

    def se(self, x: Tensor) -> Tensor:
        mix = self.heads.label.mix
        return x * torch.sigmoid(dense(mix.excite, F.relu(dense(mix.squeeze, x))))

    def bilinear(self, first: Tensor, second: Tensor) -> Tensor:
        one, other = (step[1] for step in self.heads.label.mix.steps)
        flat = [
            x @ layer.weight[:, :, 0, 0].T + layer.bias
            for x, layer in ((first, one), (second, other))
        ]
        product = flat[0] * flat[1]
        root = product / (product.abs() + 1e-5).sqrt()
        return root / (root.square().mean(1, keepdim=True) + 1e-5).sqrt()


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    return {"a": small(), "b": source(Tiny())}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_parallel(fusion: str, training: bool, sources: dict[str, Source]) -> None:
    given = Ingredients(sources, 16, 7, StrategyOptions(fusion=fusion))
    composite = compose(STRATEGIES["parallel"].write(given), sources)
    stir(composite.heads)
    naive = Branches(composite, sources)
    naive.fusion = fusion
    assert_like(composite, naive, training=training)


@pytest.mark.parametrize("training", [False, True])
def test_a_network_of_another_image_size(training: bool) -> None:
    class Halved(Naive):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            less = F.interpolate(image, (8, 8), mode="bilinear", antialias=True)
            first = self.walk("a", self.normalised("a", image))["flatten"]
            second = self.walk("b", self.normalised("b", less))["flatten"]
            return {"label": self.linear_head("label", first, second)}

    sources = {"a": small(), "b": source(small(1).module, size=8)}
    composite = compose(STRATEGIES["parallel"].write(Ingredients(sources, 16, 7)), sources)
    stir(composite.heads)
    assert_like(composite, Halved(composite, sources), training=training)
