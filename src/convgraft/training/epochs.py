"""The batches of every epoch: how many there are, in which order, and which share a rank takes.

A trainer's own work around a batch costs more than a step of a head on stored values. So for the
trainer a whole epoch is one batch, and the module goes through the steps in it by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from convgraft.data.seeding import shuffled
from convgraft.training.options import FitOptions
from convgraft.training.ranks import ALONE, Ranks

EVALUATION_BATCH = 128

Batch = tuple[tuple[Tensor, ...], dict[str, Tensor]]


def evaluation_batch(options: FitOptions) -> int:
    """Images at once where no gradients are kept: with smaller steps there are fewer of them too.

    >>> evaluation_batch(FitOptions(batch_size=32)), evaluation_batch(FitOptions(batch_size=8))
    (128, 32)
    """
    return min(EVALUATION_BATCH, 4 * options.batch_size)


class Epochs:
    """The batches of every epoch. As an iterable for a trainer it has one item: itself.

    Attributes:
        steps: the number of batches in an epoch.
    """

    def __init__(
        self, count: int, size: int, *, shuffle: bool, seed: int = 0, ranks: Ranks = ALONE
    ) -> None:
        # batch norm cannot normalise a last batch of one image
        drops = shuffle and count > size and count % size == 1
        self._count, self._size = count, size
        self._shuffle, self._seed, self._ranks = shuffle, seed, ranks
        self.steps = count // size if drops else -(-count // size)

    def __len__(self) -> int:
        """One."""
        return 1

    def __iter__(self) -> Iterator[Epochs]:
        """Itself, once."""
        yield self

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from number `first` on."""
        raise NotImplementedError

    def order(self, number: int) -> Tensor:
        """The rows of one epoch, int64, in the order in which all ranks together take them."""
        if not self._shuffle:
            return torch.arange(self._count)
        return torch.as_tensor(shuffled(self._count, self._seed, number))

    def shares(self, number: int, first: int = 0) -> Sequence[Tensor]:
        """This rank's rows of each batch of one epoch, from number `first` on."""
        batches = self.order(number)[: self.steps * self._size].split(self._size)
        return [self._ranks.share(rows) for rows in batches[first:]]
