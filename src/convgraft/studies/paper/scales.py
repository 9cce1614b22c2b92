"""Scales: how large images are, how many of them there are, for how long, under how many seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convgraft.data import ImageSet, Split, split_images
from convgraft.data.seeding import shuffled
from convgraft.errors import UsageError, near_miss
from convgraft.studies.paper.material import package_data

TESTED = 0.2  # the paper's 80/20
CHOOSING = 0.1  # of the whole set, out of the 80


@dataclass(frozen=True)
class Amount:
    """Images of each part, at most, and passes over those that train; None: all there are."""

    train: int | None
    val: int | None
    test: int | None
    epochs: int

    def split(self, images: ImageSet, seed: int) -> Split:
        """That much of an image set; the test part depends on seed and number alone."""
        whole = split_images(images, seed=seed, test=TESTED, val=CHOOSING)
        limit = None if self.train is None else min(self.train, len(whole.train))
        cut = split_images(images, seed=seed, test=TESTED, val=CHOOSING, limit=limit)
        return Split(
            cut.train, _some(whole.val, self.val, seed), _some(whole.test, self.test, seed), seed
        )


@dataclass(frozen=True)
class TableScale:
    """How one table's rows are run: under how many seeds, and with what amounts by image set."""

    seeds: int
    amounts: Mapping[str, Amount]


@dataclass(frozen=True)
class Scale:
    """How everything is run.

    Attributes:
        about: what it is for, in a line.
        differs: what differs from the paper, for people.
        sizes: side in pixels at which each architecture gets its images.
        training: fields of `FitOptions` that all fits share.
        pretraining: amounts by image set, for what networks learn before they are joined.
        tables: by the paper's number.
    """

    name: str
    about: str
    differs: tuple[str, ...]
    sizes: Mapping[str, int]
    training: Mapping[str, Any]
    pretraining: Mapping[str, Amount]
    tables: Mapping[int, TableScale]


def read_scale(name: str) -> Scale:
    """The scale of that name; raises UsageError where there is none."""
    known = package_data("scales.yaml")
    if name not in known:
        raise UsageError(
            f'there is no scale called "{name}"',
            expected=", ".join(known),
            hint=near_miss(name, known),
        )
    told = known[name]
    return Scale(
        name,
        told["about"],
        tuple(told["differs"]),
        told["sizes"],
        told["training"],
        _amounts(told["pretraining"]),
        {number: _table(table) for number, table in told["tables"].items()},
    )


def _table(told: Mapping[str, Any]) -> TableScale:
    amounts = {name: value for name, value in told.items() if name != "seeds"}
    return TableScale(told["seeds"], _amounts(amounts))


def _amounts(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Amount]:
    return {name: _amount(one) for name, one in told.items()}


def _amount(told: Mapping[str, Any]) -> Amount:
    train, val, test = (
        None if told[part] == "all" else int(told[part]) for part in ("train", "val", "test")
    )
    return Amount(train, val, test, int(told["epochs"]))


def _some(indices: Sequence[int], most: int | None, seed: int) -> tuple[int, ...]:
    """So many of the indices at most, drawn by the seed, ascending."""
    drawn = shuffled(len(indices), seed)[:most]
    return tuple(sorted(indices[place] for place in drawn))
