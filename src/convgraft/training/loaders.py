"""What a trainer draws its batches from: images, or what the frozen part made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from convgraft.data import EpochBatches, PixelDataset, Pixels, Streamed, augmentation
from convgraft.errors import DataError
from convgraft.training.epochs import Batch, Epochs, evaluation_batch
from convgraft.training.options import FitOptions
from convgraft.training.ranks import ALONE, Ranks
from convgraft.training.streaming import StreamedEpochs

READ_BYTES = 2**21  # of several batches that are read as one: what is read stays in the caches


class StoredValues(Protocol):
    """What the frozen part of a composite made of images, and their labels."""

    def __len__(self) -> int:
        """The number of images."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next batches are for: values may be of several views."""
        ...

    def batch(self, rows: Tensor) -> Batch:
        """Values of the images at some rows (int64 [N]), and their labels [N] by column."""
        ...


def check_images(train: Sized, val: Sized) -> None:
    """Raise DataError where there are too few images to train or to validate on."""
    for part, images, least in (("training", train, 2), ("validation", val, 1)):
        if len(images) < least:
            raise DataError(
                f"there are too few {part} images",
                expected=f"at least {least}",
                found=str(len(images)),
            )


def loader(
    data: Pixels | StoredValues,
    options: FitOptions,
    *,
    shuffle: bool,
    seed: int,
    ranks: Ranks = ALONE,
) -> Epochs:
    """Batches of (inputs, labels by column): shuffled and augmented for training, or in order.

    Every one of several `ranks` gets its share of each batch of `options.batch_size` images; a
    share is empty where a batch has fewer images than there are ranks.
    """
    if isinstance(data, Streamed):
        return StreamedEpochs(data, options, shuffle=shuffle, seed=seed, ranks=ranks)
    if not isinstance(data, Pixels):
        return _OfRows(data, options, shuffle=shuffle, seed=seed, ranks=ranks)
    if not shuffle or options.augment == "none":
        return _OfRows(_Images(data), options, shuffle=shuffle, seed=seed, ranks=ranks)
    return _Augmented(data, options, seed=seed, ranks=ranks)


class _OfRows(Epochs):
    """Batches that are taken from tensors whole, without a worker or a collation."""

    def __init__(
        self, values: StoredValues, options: FitOptions, *, shuffle: bool, seed: int, ranks: Ranks
    ) -> None:
        size = options.batch_size if shuffle else evaluation_batch(options)
        super().__init__(len(values), size, shuffle=shuffle, seed=seed, ranks=ranks)
        self._values = values

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        self._values.set_epoch(number)
        shares = self.shares(number, first)
        done, together = 0, 1
        while done < len(shares):
            group = shares[done : done + together]
            read = self._values.batch(torch.cat(list(group)))
            yield from _parts(read, [len(rows) for rows in group])
            done += together
            together = max(1, READ_BYTES * together // max(1, _bytes(read)))


def _parts(read: Batch, sizes: Sequence[int]) -> Iterator[Batch]:
    """Batches of these sizes, as views of what was read."""
    inputs, labels = read
    start = 0
    for size in sizes:
        rows = slice(start, start + size)
        start += size
        yield (
            tuple(x[rows] for x in inputs),
            {name: column[rows] for name, column in labels.items()},
        )


def _bytes(read: Batch) -> int:
    return sum(value.nbytes for value in read[0])


class _Augmented(Epochs):
    """Batches of images that are augmented one by one, by workers where the options have some."""

    def __init__(self, pixels: Pixels, options: FitOptions, *, seed: int, ranks: Ranks) -> None:
        count = len(pixels)
        super().__init__(count, options.batch_size, shuffle=True, seed=seed, ranks=ranks)
        augment = augmentation(options.augment, pixels.images.shape[-1])
        self._nothing = _Images(pixels).batch(torch.arange(0))
        self._batches = EpochBatches()
        self._loader: DataLoader[Any] = DataLoader(
            PixelDataset(pixels, range(count), augment=augment, seed=seed),
            batch_sampler=self._batches,
            num_workers=options.workers,
            persistent_workers=bool(options.workers),
        )

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        shares = self.shares(number, first)
        self._batches.set_epoch(number, [rows for rows in shares if len(rows)])
        yield from (((images,), labels) for images, labels in self._loader)
        if len(shares) and not len(shares[-1]):
            yield self._nothing


class _Images:
    """Images as they are, as stored values."""

    def __init__(self, pixels: Pixels) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def set_epoch(self, epoch: int) -> None:
        """They are the same in every epoch."""

    def batch(self, rows: Tensor) -> Batch:
        labels = {name: column[rows] for name, column in self._pixels.columns.items()}
        return (self._pixels.images[rows],), labels
