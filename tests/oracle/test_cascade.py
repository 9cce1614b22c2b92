"""Hierarchical networks, whatever they hand on and wherever it arrives, against a hand-made row."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch.nn.functional as F
from torch import Tensor

from convgraft.compose import compose
from convgraft.sources import Source
from convgraft.strategies import STRATEGIES, Ingredients, StrategyOptions
from helpers import small
from naive import Naive, assert_like, dense, stir


class Row(Naive):
    """Each network's value goes into the next one; the last one's features are the answer's."""

    options: StrategyOptions

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        names = list(self.sources)
        found = self.walk(names[0], self.normalised(names[0], image))
        for one, other in pairwise(names):
            own = self.walk(other, self.normalised(other, image))
            found = self.received(one, other, found, own)
        return {"label": self.linear_head("label", found["flatten"])}

    def received(
        self, one: str, other: str, found: dict[str, Tensor], own: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        into = self.options.into
        tap = {"map": "layer3", "features": "flatten", "probabilities": "fc"}[self.options.via]
        adapter = self.adapters.get_submodule(f"{one}:{tap}->{other}:{into}")
        value = self.adapted(adapter, found[tap], own[into])
        if self.options.join == "add":
            value = own[into] + adapter.gate.scale.view(-1, 1, 1) * value
        if into == "input":
            return self.walk(other, value)
        network = self.sources[other]
        last = network.layer3(network.layer2(value))
        return {"layer3": last, "flatten": last.mean((2, 3)), "fc": network.fc(last.mean((2, 3)))}

    def adapted(self, adapter: object, value: Tensor, target: Tensor) -> Tensor:
        if self.options.via == "map":
            weight, bias = adapter.mix.weight[:, :, 0, 0], adapter.mix.bias
            value = (weight @ value.flatten(2)).unflatten(2, value.shape[2:]) + bias.view(-1, 1, 1)
        else:
            vector = value.softmax(1) if self.options.via == "probabilities" else value
            value = dense(adapter.mix, vector).view(len(value), -1, 8, 8)
        return F.interpolate(value, target.shape[2:], mode="bilinear", align_corners=False)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("join", ["replace", "add"])
@pytest.mark.parametrize("via", ["map", "features", "probabilities"])
def test_cascade_of_two(via: str, join: str, training: bool) -> None:
    assert_row({"a": small(), "b": small(1)}, StrategyOptions(via=via, join=join), training)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("join", ["replace", "add"])
def test_into_a_chosen_tap(join: str, training: bool) -> None:
    options = StrategyOptions(join=join, into="layer1")
    assert_row({"a": small(), "b": small(1)}, options, training)


@pytest.mark.parametrize("training", [False, True])
def test_three_networks_in_a_row(training: bool) -> None:
    sources = {"a": small(), "b": small(1), "c": small(2)}
    assert_row(sources, StrategyOptions(via="probabilities", join="add"), training)


def assert_row(sources: dict[str, Source], options: StrategyOptions, training: bool) -> None:
    plan = STRATEGIES["cascade"].write(Ingredients(sources, 16, 7, options))
    composite = compose(plan, sources)
    for part in (composite.adapters, composite.heads):
        stir(part)
    naive = Row(composite, sources)
    naive.options = options
    assert_like(composite, naive, training=training)
