"""Table 1: how many images of each class there are, and which lie there more than once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from convgraft.data import BrokenImage, ImageSet, find_leaks, image_digests
from convgraft.data.imageset import PARTS
from convgraft.studies.paper.material import package_data, read_material
from convgraft.studies.paper.scales import Amount

ALL = Amount(None, None, None, 1)
LOOKED_AT = 50  # images whose size is looked at


@dataclass(frozen=True)
class SetCounts:
    """What an image set holds.

    Attributes:
        name: for people.
        classes: images by class.
        printed: the same in the paper; empty where the paper does not count them.
        parts: images by part, where the data itself gives parts.
        side: median side in pixels.
        copies: images whose file has the same bytes as an earlier one.
        leaks: pictures that the split with seed 0 has in the test part and in another one too.
    """

    name: str
    classes: Mapping[str, int]
    printed: Mapping[str, int]
    parts: Mapping[str, int]
    side: int
    copies: int
    leaks: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def count_images(name: str, images: ImageSet) -> SetCounts:
    """Count a set of the material; every file of it is read once, and few are decoded."""
    known = image_digests(images, range(len(images)))
    leaks = find_leaks(images, ALL.split(images, 0), known=known)
    labelled = Counter(images.labels.tolist())
    return SetCounts(
        read_material().images[name].name,
        {text: labelled[number] for number, text in enumerate(images.classes)},
        package_data("rows", "table1.yaml") if name == "natural_images" else {},
        {part: found for part in PARTS if (found := (images.parts or ()).count(part))},
        _side(images),
        len(known) - len(set(known.values())),
        sum(leak.tested for leak in leaks),
    )


def _side(images: ImageSet) -> int:
    sides: list[int] = []
    for index in range(0, len(images), max(1, len(images) // LOOKED_AT)):
        try:
            sides.append(max(images.read(index).shape[1:]))
        except BrokenImage:
            continue
    return int(median(sides)) if sides else 0
