"""Pictures to compare an exported file with its network on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from convgraft.data import (
    BrokenImage,
    image_files,
    load_pixels,
    open_images,
    read_resized,
    read_split,
)
from convgraft.errors import ConvgraftError, DataError
from convgraft.export.artifact import SPLIT, Run

T = TypeVar("T")
COUNT = 100
NOISE = 24  # grey levels of noise on random pictures


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of a network's size, and where they are from.

    Attributes:
        images: uint8 [N, 3, S, S].
        told: where they are from, in words.
        names: of each image.
    """

    images: Tensor
    told: str
    names: tuple[str, ...]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)


def pictures_for(run: Run, folder: Path | None = None, count: int = COUNT) -> Pictures:
    """Pictures to check a run on: of the folder, else the run's own, else random ones.

    The run's own are of its validation part: the test part stays unread.

    Args:
        folder: of images, at any depth, or one image.
        count: how many at most.

    Raises DataError where the folder has no image that can be read.
    """
    if folder is not None:
        return _pictures_in(folder, run.image_size, count)
    return _own_pictures(run, count) or random_pictures(run.image_size, min(count, 32))


def random_pictures(size: int, count: int = 32) -> Pictures:
    """Coarse patches of colour with noise on them; the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = F.interpolate(coarse, (size, size), mode="bilinear", align_corners=False) * 255
    noisy = smooth + NOISE * torch.randn(count, 3, size, size, generator=generator)
    images = noisy.round().clamp(0, 255).to(torch.uint8)
    return Pictures(images, "random pictures", tuple(map(str, range(count))))


def _pictures_in(folder: Path, size: int, count: int) -> Pictures:
    files = spread(image_files([folder]), count)
    images: dict[str, Tensor] = {}
    for file in files:
        try:
            images[str(file)] = read_resized(file.read_bytes(), size, id=str(file))
        except (BrokenImage, OSError):
            continue
    if not images:
        raise DataError(f"no image in {folder} can be read", found=f"{len(files)} broken files")
    return Pictures(torch.stack(list(images.values())), str(folder), tuple(images))


def _own_pictures(run: Run, count: int) -> Pictures | None:
    """Images that the run was trained with, where they still lie where they lay."""
    told = run.metrics.get("data")
    told = told if isinstance(told, dict) else {}
    location, target = told.get("location"), told.get("target")
    if not (location and isinstance(location, str) and isinstance(target, str | None)):
        return None
    try:
        images = open_images(location, target=target)
        validation = read_split(run.folder / SPLIT, images).val
        if not validation:
            return None
        pixels = load_pixels(images, run.image_size, indices=spread(validation, count))
    except ConvgraftError:  # moved, changed, or opened with more columns than are known here
        return None
    names = tuple(images.ids[index] for index in pixels.indices)
    return Pictures(pixels.images, f"{location}, validation part", names)


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly from first to last."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]
