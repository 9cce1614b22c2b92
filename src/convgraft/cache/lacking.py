"""Which values of which images are not stored yet, and which images lack the same ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convgraft.cache.entry import Entry

Rows = NDArray[np.int64]
Value = TypeVar("Value")


def lacking_rows(
    entry: Entry, ids: NDArray[np.uint64], names: Sequence[str], broken: Collection[str]
) -> Rows:
    """Positions of the images that an entry has no value of, or a damaged one.

    Args:
        entry: where the values lie; what is damaged there is forgotten.
        ids, names: of the images.
        broken: names of images that will never have one.
    """
    slots = entry.slots(ids)
    entry.verify(slots[slots >= 0])
    rows = np.flatnonzero(entry.slots(ids) < 0)
    if not broken:
        return rows
    return np.array([row for row in rows.tolist() if names[row] not in broken], dtype=np.int64)


def alike(
    values: Sequence[Value], missing: Sequence[Rows], images: int
) -> list[tuple[list[Value], Rows]]:
    """Images that lack the same values, with these: one pass for each, so that none goes twice.

    Args:
        values: all that are wanted.
        missing: for each, the positions of the images that lack it.
        images: how many there are.
    """
    lacking = np.zeros((len(values), images), dtype=bool)
    for number, rows in enumerate(missing):
        lacking[number, rows] = True
    which, group_of = np.unique(lacking, axis=1, return_inverse=True)
    return [
        (
            [values[number] for number in np.flatnonzero(lacks).tolist()],
            np.flatnonzero(group_of == group),
        )
        for group, lacks in enumerate(which.T)
        if lacks.any()
    ]
