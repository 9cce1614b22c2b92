"""How the images of a set lie: in shards, or row groups, that are read one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Runs of neighbouring images that are read together.

    Attributes:
        lengths: of the runs, in order; their sum is the number of images.
        fetch: called with the numbers of runs that are read now and next; it returns at once, and
            sees to it that these stay near and those to come are brought there. None: all are near.
    """

    lengths: tuple[int, ...]
    fetch: Callable[[Sequence[int], Sequence[int]], None] | None = None

    def run_of(self, indices: Sequence[int] | Rows) -> Rows:
        """For each image, the number of its run: int64 [N]."""
        ends = np.cumsum(np.array(self.lengths, dtype=np.int64))
        return np.searchsorted(ends, np.asarray(indices, dtype=np.int64), side="right")
