"""Views: augmented versions of images, a few of each, that a frozen part is run over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.data import Pixels, Streamed, augmentation
from convgraft.data.augment import AUGMENTER, seeded
from convgraft.data.seeding import derived_seed
from convgraft.training.options import FitOptions

VIEWS = 4  # augmented versions of each image that are stored where nobody said how many


@dataclass(frozen=True)
class Views:
    """Which augmented versions of an image are stored, and used in turn, epoch by epoch."""

    augment: str = "none"
    count: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """What each is called in the store's keys; images as they are have an empty name."""
        if self.augment == "none":
            return ("",)
        return tuple(f"{self.augment} {AUGMENTER}.{number}" for number in range(self.count))


AS_THEY_ARE = Views()


def views_for(options: FitOptions) -> Views:
    """The views that a fit's frozen parts are run over; a count of 0: they run in every epoch."""
    if options.augment == "none":
        return AS_THEY_ARE
    count = VIEWS if options.views is None else options.views
    return Views(options.augment, min(options.epochs, count))


def seeded_view(augment: str, size: int, view: int) -> Callable[[str, Tensor], Tensor] | None:
    """An augmentation that depends on the image's name in its set and the number of its view alone.

    So a set that was copied, and every seed of a fit, get the same views.
    """
    augmented = augmentation(augment, size)
    if augmented is None:
        return None

    def apply(name: str, image: Tensor) -> Tensor:
        number = int.from_bytes(blake2b(name.encode(), digest_size=7).digest())
        return seeded(augmented, image, derived_seed(view, number))

    return apply


def views_of(
    pixels: Pixels, indices: NDArray[np.int64], names: Sequence[str], views: Views
) -> Callable[[Tensor, int], Tensor]:
    """The same views of the images, for what learns and reads pixels beside stored values.

    Args:
        pixels: of these images, and maybe of others.
        indices, names: of the images, in the order of the stored values.
    """
    # streamed ones count rows over all images, also those that turned out broken
    known = pixels.rows.tolist() if isinstance(pixels, Streamed) else pixels.indices
    row_of = {index: row for row, index in enumerate(known)}
    places = torch.tensor([row_of[index] for index in indices.tolist()], dtype=torch.int64)
    size = pixels.images.shape[-1]
    augmented = [seeded_view(views.augment, size, number) for number in range(views.count)]

    def read(rows: Tensor, view: int) -> Tensor:
        images, augment = pixels.images[places[rows]], augmented[view]
        if augment is None:
            return images
        chosen: list[int] = rows.tolist()
        pairs = zip(chosen, images, strict=True)
        return torch.stack([augment(names[row], image) for row, image in pairs])

    return read
