"""Stitches between two networks that are worth trying."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convgraft.match.likeness import Pairing, may_pair
from convgraft.match.matching import Matching


@dataclass(frozen=True)
class Stitch:
    """A front, an adapter and a back: a pair of a matching, and a direction.

    Attributes:
        row, column: of the left and of the right tap in the matching.
        backward: the right network is the front.
    """

    row: int
    column: int
    backward: bool = False

    def r2(self, matching: Matching) -> float:
        """Held-out share of the replaced value's variance that its adapter explains."""
        table = matching.backward if self.backward else matching.forward
        return float(table[self.row, self.column])


def stitches_to_try(
    matching: Matching,
    pairings: Sequence[Pairing],
    count: int,
    *,
    one_position: bool = False,
    distant: bool = False,
) -> list[Stitch]:
    """About `count` stitches: both directions at each pairing, then others by falling R2.

    R2 falls with depth and says little across it, so where pairings are too many, those taken are
    spread evenly over depth. A stitch whose replaced tap is constant is left out.

    Args:
        one_position, distant: which of the others are allowed, as of `pair_by_likeness`.
    """
    pairs = [(matching.left.index(p.left), matching.right.index(p.right)) for p in pairings]
    taken = _spread(pairs, (count + 1) // 2)
    chosen = [Stitch(*pair, backward) for pair in taken for backward in (False, True)]
    others = [
        Stitch(row, column, backward)
        for row, left in enumerate(matching.left)
        for column, right in enumerate(matching.right)
        for backward in (False, True)
        if (row, column) not in pairs
        and may_pair(left, right, one_position=one_position, distant=distant)
    ]
    chosen, others = (
        [stitch for stitch in some if math.isfinite(stitch.r2(matching))]
        for some in (chosen, others)
    )
    return [*chosen, *sorted(others, key=lambda stitch: -stitch.r2(matching))][:count]


def _spread(pairs: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """At most `count` of them, the first and the last among them, evenly between."""
    if len(pairs) <= count:
        return list(pairs)
    steps = max(count - 1, 1)
    return [pairs[round(number * (len(pairs) - 1) / steps)] for number in range(count)]
