"""Probe and fine-tune are one plan: each network under a head of its own, and their average."""

from __future__ import annotations

import pytest
from torch import Tensor

from convgraft.compose import compose
from convgraft.strategies import STRATEGIES, Ingredients
from helpers import small
from naive import Naive, assert_like, stir


class Alone(Naive):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = {
            name: self.walk(name, self.normalised(name, image))["flatten"] for name in self.sources
        }
        if len(found) == 1:
            return {"label": self.linear_head("label", found["a"])}
        answers = {name: self.linear_head(name, value) for name, value in found.items()}
        mean = sum(answer.softmax(1) for answer in answers.values()) / len(answers)
        return {**answers, "label": mean.log()}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("strategy", ["probe", "finetune"])
def test_single(strategy: str, count: int, training: bool) -> None:
    sources = {name: small(seed) for seed, name in enumerate("abc"[:count])}
    composite = compose(STRATEGIES[strategy].write(Ingredients(sources, 16, 7)), sources)
    stir(composite.heads)
    assert_like(composite, Alone(composite, sources), training=training)
