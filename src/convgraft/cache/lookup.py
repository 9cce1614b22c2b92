"""Which slot an image id has: sorted ids and binary search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Lookup:
    """Ids in ascending order, and the slot of each."""

    ids: NDArray[np.uint64]
    slots: NDArray[np.int64]

    @classmethod
    def of(cls, ids: NDArray[np.uint64], slots: NDArray[np.int64]) -> Lookup:
        """From ids in any order."""
        order = np.argsort(ids)
        return cls(ids[order], slots[order])

    def find(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The slot of each id, -1 where it has none."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        # ascending questions stay in the processor's cache: twice as fast for a million
        order = np.argsort(ids)
        asked = ids[order]
        places = np.minimum(np.searchsorted(self.ids, asked), len(self.ids) - 1)
        found = np.empty(len(ids), np.int64)
        found[order] = np.where(self.ids[places] == asked, self.slots[places], -1)
        return found

    def with_more(self, ids: NDArray[np.uint64], slots: NDArray[np.int64]) -> Lookup:
        """This one and further ids, which are not in it."""
        more = Lookup.of(ids, slots)
        places = np.searchsorted(self.ids, more.ids)
        return Lookup(
            np.insert(self.ids, places, more.ids), np.insert(self.slots, places, more.slots)
        )
