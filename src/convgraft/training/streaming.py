"""Epochs over images that are decoded on the way: shuffled by shard and buffer, nothing kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convgraft.data import EpochBatches, ImageSet, Streamed, augmentation
from convgraft.data.augment import Augmentation
from convgraft.data.dataset import augmented
from convgraft.data.decoded import Decoded, decode_now
from convgraft.training.epochs import Batch, Epochs, evaluation_batch
from convgraft.training.options import FitOptions
from convgraft.training.ranks import ALONE, Ranks


class StreamedEpochs(Epochs):
    """Batches of streamed images, decoded ahead by threads, or by worker processes.

    The order of an epoch depends on seed, epoch and the shards alone. A broken image leaves its
    batch smaller; a batch of training that has fewer than two images left is passed over, unless
    several ranks share it: these take the same number of steps.
    """

    def __init__(
        self,
        data: Streamed,
        options: FitOptions,
        *,
        shuffle: bool,
        seed: int,
        ranks: Ranks = ALONE,
    ) -> None:
        size = options.batch_size if shuffle else evaluation_batch(options)
        super().__init__(len(data.rows), size, shuffle=shuffle, seed=seed, ranks=ranks)
        self._data = data
        self._least = 2 if shuffle and ranks.world == 1 else 0
        self._augment = augmentation(options.augment, data.size) if shuffle else None
        self._workers = None
        if options.workers:
            self._workers = _Workers(data, self._augment, seed, options.workers)

    def order(self, number: int) -> Tensor:
        """The rows of one epoch, int64, in the order in which all ranks together take them."""
        return self._data.order(self._seed, number) if self._shuffle else super().order(number)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from number `first` on."""
        shares = self.shares(number, first)
        if self._workers:
            batches = self._workers.batches(number, shares)
        else:
            batches = self._data.batches(shares, self._view(number))
        for images, labels in batches:
            if len(images[0]) >= self._least:
                yield images, labels

    def _view(self, epoch: int) -> Callable[[int, Tensor], Tensor] | None:
        if (augment := self._augment) is None:
            return None
        return lambda row, image: augmented(image, augment, self._seed, epoch, row)


class _Workers:
    """Processes that decode and augment whole batches, which come out the same for any number."""

    def __init__(self, data: Streamed, augment: Augmentation | None, seed: int, count: int) -> None:
        self._data, self._keys = data, EpochBatches()
        self._loader: DataLoader[Any] = DataLoader(
            _Rows(data.set, data.size, data.rows, augment, seed),
            batch_sampler=self._keys,
            num_workers=count,
            persistent_workers=True,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # else it draws from the one that training draws from
        )

    def batches(self, number: int, shares: Sequence[Tensor]) -> Iterator[Batch]:
        """What the processes make of the shares; the empty ones do not go there."""
        places = [self._data.sound(rows) for rows in shares]
        self._keys.set_epoch(number, [rows for rows in places if len(rows)])
        made = iter(self._loader)
        for rows in places:
            found = (
                next(made)
                if len(rows)
                else decode_now(self._data.set, self._data.size, self._data.rows[:0])
            )
            yield self._data.finished(rows, found)


class _Rows(Dataset[Decoded]):
    """What a worker process knows."""

    def __init__(
        self, images: ImageSet, size: int, rows: Any, augment: Augmentation | None, seed: int
    ) -> None:
        self._images, self._size, self._rows = images, size, rows
        self._augment, self._seed = augment, seed

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Decoded:
        """The batch of these (epoch, row) pairs."""
        found = decode_now(self._images, self._size, self._rows[[row for _, row in keys]])
        if self._augment is None or not found.kept:
            return found
        views = [
            augmented(image, self._augment, self._seed, *keys[place])
            for place, image in zip(found.kept, found.pixels, strict=True)
        ]
        return Decoded(found.kept, torch.stack(views), found.broken)


def _as_it_is(batch: Any) -> Any:
    return batch
