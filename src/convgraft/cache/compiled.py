"""A network through `torch.compile` where that works, and as it is where it does not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Compiled(nn.Module):
    """A network of images, compiled on its first call; after a failure it runs uncompiled.

    Attributes:
        failure: why it runs uncompiled; None as long as it does not.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.failure: Exception | None = None
        self._compiled: Any = torch.compile(network)

    def forward(self, images: Tensor) -> Any:
        """What the network gives."""
        if self.failure is not None:
            return self.network(images)
        try:
            return self._compiled(images)
        # A lacking compiler, an unknown operation, a device too old: all are no reason to stop.
        except Exception as error:
            self.failure = error
            return self.network(images)
