"""What images are like: how many of each class, how large, broken, and the same ones twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convgraft.data import (
    BrokenImage,
    Conflict,
    ImageSet,
    find_conflicts,
    image_digests,
    split_images,
)
from convgraft.data.decode import claimed_size
from convgraft.data.seeding import shuffled

MOST_MEASURED = 1000  # images whose size is looked at
NOT_READABLE = (0, 0)
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Look:
    """What was seen of an image set.

    Attributes:
        counts: images by class.
        sizes: width and height of the images that were measured, in pixels.
        broken: ids of those among them that are no images.
        copies: how many images are byte for byte another one.
        conflicts: those that lie in several classes.
        parts: images for training, validation and test.
        own_parts: whether the data itself says which images are for what.
    """

    images: int
    counts: Mapping[str, int]
    sizes: Sequence[tuple[int, int]]
    broken: Sequence[str]
    copies: int
    conflicts: Sequence[Conflict]
    parts: tuple[int, int, int]
    own_parts: bool

    @property
    def imbalance(self) -> float:
        """Images of the commonest class for each one of the rarest."""
        return max(self.counts.values()) / max(1, min(self.counts.values()))

    @property
    def median_side(self) -> int:
        """The median of the shorter sides, in pixels."""
        return int(np.median([min(size) for size in self.sizes])) if self.sizes else 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "images": self.images,
            "classes": dict(self.counts),
            "imbalance": self.imbalance,
            "measured": len(self.sizes) + len(self.broken),
            "median_side": self.median_side,
            "broken": list(self.broken),
            "copies": self.copies,
            "conflicts": [str(one) for one in self.conflicts],
            "parts": dict(zip(("train", "val", "test"), self.parts, strict=True)),
            "own_parts": self.own_parts,
        }


def look_at(images: ImageSet, report: Report) -> Look:
    """Read every image once, for copies, and some headers, for sizes; none is decoded."""
    split = split_images(images, seed=0)
    measured = [int(index) for index in shuffled(len(images), 0)[:MOST_MEASURED]]
    sizes = {index: _size(images, index) for index in measured}
    known = image_digests(
        images, range(len(images)), lambda done, total: report("look for copies", done, total)
    )
    repeated = Counter(known.values())
    named = Counter(images.labels[images.labels >= 0].tolist())
    return Look(
        images=len(images),
        counts={name: named[number] for number, name in enumerate(images.classes)},
        sizes=[size for size in sizes.values() if size != NOT_READABLE],
        broken=[images.ids[index] for index, size in sizes.items() if size == NOT_READABLE],
        copies=sum(count - 1 for count in repeated.values()),
        conflicts=find_conflicts(images, known),
        parts=(len(split.train), len(split.val), len(split.test)),
        own_parts=images.parts is not None,
    )


def _size(images: ImageSet, index: int) -> tuple[int, int]:
    try:
        raw = images.raw(index)
    except BrokenImage:
        return NOT_READABLE
    if isinstance(raw, bytes):
        return claimed_size(raw) or NOT_READABLE
    return raw.shape[1], raw.shape[0]
