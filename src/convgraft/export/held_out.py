"""Images to calibrate a network in whole numbers with, and others to measure it with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from convgraft.data import MISSING, ImageSet, load_pixels, open_images, read_split, split_images
from convgraft.data.seeding import shuffled
from convgraft.errors import DataError
from convgraft.export.artifact import SPLIT, Run

CALIBRATION = 200
LARGEST = 2000  # images to measure with
UNKNOWN = "a new split, not the run's: it may have learned from some of these images"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Images for both.

    Attributes:
        calibration: training images, uint8 [M, 3, S, S].
        images: held-out ones, uint8 [N, 3, S, S].
        labels: of those, as the run numbers its classes, int64 [N].
        told: what the held-out ones are, in words.
    """

    calibration: Tensor
    images: Tensor
    labels: Tensor
    told: str


def held_out(
    run: Run,
    location: str,
    *,
    calibration: int = CALIBRATION,
    target: Sequence[str] | None = None,
    label_map: Path | None = None,
) -> HeldOut:
    """Training and validation images of a run's own split; the test part stays unread.

    Images that the run does not know are split anew.

    Args:
        location, target, label_map: of the images, as of `open_images`.
        calibration: how many images to calibrate with, at most.

    Raises DataError where the images cannot be read, have classes that the run does not know, or
    give none to measure with.
    """
    images = open_images(location, target=target, label_map=label_map)
    order = _order(run, images)
    try:
        split, whose = read_split(run.folder / SPLIT, images), "the run's split"
    except DataError:
        split, whose = split_images(images, seed=0), UNKNOWN
    known = [index for index in split.val if images.labels[index] != MISSING]
    if not (known and split.train):
        raise DataError(f"{location} has too few images to calibrate and to measure with")
    chosen = _some(split.train, calibration)
    measured = load_pixels(images, run.image_size, indices=_some(known, LARGEST))
    return HeldOut(
        calibration=load_pixels(images, run.image_size, indices=chosen).images,
        images=measured.images,
        labels=torch.tensor(order)[measured.labels],
        told=f"{location}, validation part of {whose}",
    )


def _some(indices: Sequence[int], count: int) -> list[int]:
    """At most `count` of them, drawn the same way each time."""
    chosen = shuffled(len(indices), 0, 0)[:count].tolist()
    return sorted(indices[place] for place in chosen)


def _order(run: Run, images: ImageSet) -> list[int]:
    """The place of each class of the images among those of the run."""
    unknown = [name for name in images.classes if name not in run.labels]
    if unknown:
        raise DataError(
            f'the run does not know the class "{unknown[0]}"',
            expected=", ".join(run.labels[:10]),
            found=", ".join(images.classes[:10]),
        )
    return [run.labels.index(name) for name in images.classes]
