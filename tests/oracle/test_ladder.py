"""A side head over every block of two networks, against pooling and climbing by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.compose import compose
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from helpers import small
from naive import Naive, assert_like, dense, scaled, stir


class Ladder(Naive):
    """Every stage's mean, and the features, of both networks."""

    kind: str

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        rungs = []
        for name in self.sources:
            found = self.walk(name, self.normalised(name, image))
            rungs += [found[layer].mean((2, 3)) for layer in ("layer1", "layer2", "layer3")]
            rungs.append(found["flatten"])
        return {"label": getattr(self, self.kind)(rungs)}

    def linear(self, rungs: list[Tensor]) -> Tensor:
        return self.linear_head("label", *rungs)

    def mlp(self, rungs: list[Tensor]) -> Tensor:
        head = self.heads.label
        x = scaled(self.standardised(head.norm, torch.cat(rungs, 1)))
        return dense(head.classifier, F.relu(dense(head.layers.dense0, x)))

    def side(self, rungs: list[Tensor]) -> Tensor:
        head = self.heads.label
        side = None
        for number, rung in enumerate(rungs):
            step = dense(head.projections[number], self.standardised(head.norms[number], rung))
            if side is not None:
                gate = 1 / (1 + torch.exp(-head.alphas[number - 1]))
                step = gate * side + (1 - gate) * step
            side = self.climbed(head.blocks[number].layers, step)
        return dense(head.classifier, side)

    def climbed(self, layers: torch.nn.Module, x: Tensor) -> Tensor:
        norm, wide, _, narrow = layers
        scale = (x.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
        normed = (x - x.mean(1, keepdim=True)) / scale * norm.weight + norm.bias
        return x + dense(narrow, F.gelu(dense(wide, normed)))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", ["linear", "mlp", "side"])
def test_ladder(kind: str, training: bool) -> None:
    sources = {"a": small(), "b": small(1)}
    options = StrategyOptions(head=kind)
    composite = compose(STRATEGIES["ladder"].write(Ingredients(sources, 16, 7, options)), sources)
    stir(composite.heads)
    naive = Ladder(composite, sources)
    naive.kind = kind
    assert_like(composite, naive, training=training)


def test_selected_taps_alone() -> None:
    class Two(Naive):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            found = self.walk("a", self.normalised("a", image))
            return {
                "label": self.linear_head(
                    "label", *(found[n].mean((2, 3)) for n in ("relu", "layer2"))
                )
            }

    sources = {"a": small()}
    options = StrategyOptions(taps="a:layer2, a:relu")
    plan = STRATEGIES["ladder"].write(Ingredients(sources, 16, 7, options))
    composite = compose(plan, sources)
    stir(composite.heads)
    assert_like(composite, Two(composite, sources), training=True)
