"""Which share of every batch this process takes, where several train one network together."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """One of several processes that train together.

    Attributes:
        rank: of this process, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows of a batch: every `world`-th one; the shares make up the batch.

        >>> import torch
        >>> Ranks(1, 2).share(torch.arange(5))
        tensor([1, 3])
        """
        return rows if self.world == 1 else rows[self.rank :: self.world]


ALONE = Ranks()
