"""Rows of `Pixels` for a `DataLoader`, in an order and with randomness fixed by seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Dataset, Sampler

from convgraft.data.augment import Augmentation, seeded
from convgraft.data.pixels import Pixels
from convgraft.data.seeding import check_seed, derived_seed


class PixelDataset(Dataset[tuple[torch.Tensor, dict[str, int]]]):
    """Some rows of `pixels`: (uint8 [3, S, S], label by column).

    The main column is `""`, the others go by name, and -1 is a missing label. A `DataLoader` makes
    of N items uint8 [N, 3, S, S] and, for each column, int64 [N].

    An item depends on seed, epoch and row only, not on the number of workers, and asking for one
    leaves torch's global generator as it was.
    """

    def __init__(
        self,
        pixels: Pixels,
        rows: Sequence[int],
        *,
        augment: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        """Show the given rows of `pixels`, in this order, each through `augment` if there is one.

        Raises:
            DataError: `seed` is negative.
        """
        check_seed(seed)
        self._pixels, self._rows = pixels, tuple(rows)
        self._augment, self._seed = augment, seed

    def __len__(self) -> int:
        """The number of rows shown."""
        return len(self._rows)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[torch.Tensor, dict[str, int]]:
        """The item at a position (epoch 0) or at (epoch, position). The image is a copy."""
        epoch, position = key if isinstance(key, tuple) else (0, key)
        row = self._rows[position]
        image = self._pixels.images[row].clone()
        labels = {name: int(column[row]) for name, column in self._pixels.columns.items()}
        if self._augment is None:
            return image, labels
        return augmented(image, self._augment, self._seed, epoch, row), labels


def augmented(
    image: torch.Tensor, augment: Augmentation, seed: int, epoch: int, row: int
) -> torch.Tensor:
    """What `augment` makes of the image in that row in that epoch, whoever asks, and when."""
    return seeded(augment, image, derived_seed(seed, epoch, row))


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Yields, for each batch of one epoch, its (epoch, position) pairs.

    >>> batches = EpochBatches()
    >>> batches.set_epoch(2, [torch.tensor([1, 0]), torch.tensor([2])])
    >>> list(batches)
    [[(2, 1), (2, 0)], [(2, 2)]]
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self._epoch = 0
        self._batches: Sequence[torch.Tensor] = ()

    def set_epoch(self, epoch: int, batches: Sequence[torch.Tensor]) -> None:
        """Choose what the next iteration yields: int64 positions of each batch."""
        self._epoch, self._batches = epoch, batches

    def __len__(self) -> int:
        """The number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """One epoch."""
        for rows in self._batches:
            yield [(self._epoch, position) for position in rows.tolist()]
