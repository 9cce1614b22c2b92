"""Rows of `Pixels` for a `DataLoader`, in an order and with randomness fixed by seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Dataset, Sampler

from convgraft.data.augment import Augmentation
from convgraft.data.pixels import Pixels
from convgraft.data.seeding import check_seed, derived_seed, shuffled


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
        # Only the CPU generator: torch.manual_seed would also reseed the accelerators.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derived_seed(self._seed, epoch, row))
            return self._augment(image), labels


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, position) for each of `count` positions, in an order of (seed, epoch).

    >>> sampler = EpochSampler(3, seed=0, shuffle=False)
    >>> sampler.set_epoch(2)
    >>> list(sampler)
    [(2, 0), (2, 1), (2, 2)]
    """

    def __init__(self, count: int, *, seed: int, shuffle: bool = True) -> None:
        """Start at epoch 0.

        Raises:
            DataError: `seed` is negative.
        """
        check_seed(seed)
        self._count, self._seed, self._shuffle = count, seed, shuffle
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for."""
        self._epoch = epoch

    def __len__(self) -> int:
        """The number of positions."""
        return self._count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """One epoch."""
        epoch = self._epoch
        if not self._shuffle:
            return ((epoch, position) for position in range(self._count))
        order: list[int] = shuffled(self._count, self._seed, epoch).tolist()
        return ((epoch, position) for position in order)
