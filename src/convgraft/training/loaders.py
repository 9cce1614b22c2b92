"""What a trainer draws its batches from."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader

from convgraft.data import EpochSampler, PixelDataset, Pixels, augmentation
from convgraft.errors import DataError
from convgraft.training.frozen_part import Stored
from convgraft.training.options import FitOptions

EVALUATION_BATCH = 128


def check_images(train: Pixels, val: Pixels) -> None:
    """Raise DataError where there are too few images to train or to validate on."""
    for part, pixels, least in (("training", train, 2), ("validation", val, 1)):
        if len(pixels.labels) < least:
            raise DataError(
                f"there are too few {part} images",
                expected=f"at least {least}",
                found=str(len(pixels.labels)),
            )


def loader(
    data: Pixels | Stored, options: FitOptions, *, shuffle: bool, seed: int
) -> DataLoader[Any]:
    """Batches of (inputs, labels by column): shuffled and augmented for training, or in order."""
    count = len(data)
    size = options.batch_size if shuffle else EVALUATION_BATCH
    dataset: Any = data
    if isinstance(data, Pixels):
        augment = augmentation(options.augment, data.images.shape[-1]) if shuffle else None
        dataset = PixelDataset(data, range(count), augment=augment, seed=seed)
    workers = options.workers if shuffle and isinstance(data, Pixels) else 0
    return DataLoader(
        dataset,
        batch_size=size,
        sampler=EpochSampler(count, seed=seed, shuffle=shuffle),
        collate_fn=None if isinstance(data, Pixels) else _as_it_is,
        # batch norm cannot normalise a last batch of one image
        drop_last=shuffle and count > size and count % size == 1,
        num_workers=workers,
        persistent_workers=bool(workers),
    )


def _as_it_is(batch: Any) -> Any:
    """Stored values come in batches already."""
    return batch
