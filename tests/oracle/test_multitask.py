"""One trunk, single or joined, under a head for each label column, against a hand-made one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convgraft.compose import compose
from convgraft.strategies import STRATEGIES, Ingredients
from helpers import small
from naive import Naive, assert_like, stir


class Tasks(Naive):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        found = [self.walk(name, self.normalised(name, image))["flatten"] for name in self.sources]
        return {
            name: self.linear_head(name, torch.cat(found, 1))
            for name in ("coarse", "parity_", "label")
        }


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_multitask(count: int, training: bool) -> None:
    sources = {name: small(seed) for seed, name in enumerate(("a", "parity")[:count])}
    columns = {"coarse": 3, "parity" if count > 1 else "parity_": 2}
    composite = compose(
        STRATEGIES["multitask"].write(Ingredients(sources, 16, 7, columns=columns)), sources
    )
    stir(composite.heads)
    assert_like(composite, Tasks(composite, sources), training=training)
