"""A change in place as a statement of its own is part of the composite, in both modes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.compose import compose
from convgraft.sources import source
from helpers import images, plan_for


class Stated(nn.Module):
    """Its ReLU stands alone: the convolution's result is read under its old name."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)
        self.second, self.head = nn.Conv2d(4, 5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.how == "module":
            self.relu(y)
        elif self.how == "method":
            y.relu_()
        elif self.how == "function":
            F.relu(y, inplace=True)
        else:
            y.mul_(2.0)
            self.relu(y)
        return self.head(self.second(y).mean((2, 3)))


@pytest.mark.parametrize("how", ["module", "method", "function", "twice"])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_not_lost(how: str, training: bool) -> None:
    network = Stated(how).train(training)
    own = source(network, mean=(0, 0, 0), std=(1, 1, 1), size=16, classes=3)
    composite = compose(plan_for({"a": own}, size=16), {"a": own}).train(training)
    x = images(16)
    assert torch.equal(composite(x)["a"], network(x))
