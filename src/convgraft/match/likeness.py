"""Which taps belong together by what they compute on images, not by their shapes.

A pair is worth its likeness less what it costs; among all pairings in the order of both networks
the one with the highest total is taken. As the order is kept, wires between the pairs can never
make a circle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convgraft.match.fans import pair_fans_in_order
from convgraft.match.matching import Matching
from convgraft.match.pairing import NEAR, pair_in_order
from convgraft.sources import Tap

COST = 2.0
Scores = Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class Pairing:
    """Two taps that belong together.

    Attributes:
        left, right: a tap of each network.
        cka: debiased linear CKA, about 0 to 1.
        forward: held-out R2 of the right tap's value from the left tap's, by a linear map.
        backward: the same the other way.
        cost: MACs of a 1x1 convolution each way, as a share of both networks' MACs.
        score: `cka` less the weighted cost: what the assignment adds up.
        why: what was chosen over what, in a sentence.
    """

    left: Tap
    right: Tap
    cka: float
    forward: float
    backward: float
    cost: float
    score: float
    why: str


def pair_by_likeness(
    matching: Matching,
    *,
    cost: float = COST,
    many_to_one: bool = False,
    one_position: bool = False,
    distant: bool = False,
    names: tuple[str, str] = ("left", "right"),
) -> list[Pairing]:
    """The order-preserving pairs with the highest total of CKA less cost, by rising depth.

    The exact optimum, by dynamic programming. A pair that scores 0 or less is never taken.

    Args:
        cost: how much CKA a pair gives up for its adapters, by their share of both networks' MACs.
            With 2, a pair whose adapters cost half of what the networks cost is worth nothing.
        many_to_one: let several taps of one network share a tap of the other one.
        one_position: also pair vectors and maps of one position.
        distant: also pair maps whose sides differ by more than a factor of `NEAR`.
        names: what the sentences call the two networks.
    """
    scores = likeness_scores(matching, cost=cost, one_position=one_position, distant=distant)
    pairs = (pair_fans_in_order if many_to_one else pair_in_order)(scores)
    told = _Told(matching, scores, pairs, names)
    return [
        _pairing(matching, scores[row][column] or 0.0, told, row, column) for row, column in pairs
    ]


def likeness_scores(
    matching: Matching, *, cost: float = COST, one_position: bool = False, distant: bool = False
) -> list[list[float | None]]:
    """What each pair is worth, `[rows][columns]`; None where it is not allowed or has no CKA."""
    return [
        [
            float(matching.cka[row, column]) - cost * adapter_share(left, right)
            if may_pair(left, right, one_position=one_position, distant=distant)
            and math.isfinite(float(matching.cka[row, column]))
            else None
            for column, right in enumerate(matching.right)
        ]
        for row, left in enumerate(matching.left)
    ]


def adapter_share(left: Tap, right: Tap) -> float:
    """MACs of a 1x1 convolution each way, as a share of the MACs of both networks."""
    positions = min(_positions(left), _positions(right))
    spent = 2 * left.shape[0] * right.shape[0] * positions
    return spent / max(_network_macs(left) + _network_macs(right), 1)


def _network_macs(tap: Tap) -> float:
    """A tap knows its MACs and their share of the network's."""
    return tap.macs / tap.depth if tap.depth > 0 else 0.0


def _positions(tap: Tap) -> int:
    return math.prod(tap.shape[1:])


def may_pair(left: Tap, right: Tap, *, one_position: bool = False, distant: bool = False) -> bool:
    """Whether two taps may be joined by their shapes: see `pair_by_likeness`."""
    if min(_positions(left), _positions(right)) == 1 and not one_position:
        return False
    sides = [math.sqrt(_positions(tap)) for tap in (left, right)]
    return distant or max(sides) <= NEAR * min(sides)


def _pairing(matching: Matching, score: float, told: _Told, row: int, column: int) -> Pairing:
    left, right = matching.left[row], matching.right[column]
    return Pairing(
        left=left,
        right=right,
        cka=float(matching.cka[row, column]),
        forward=float(matching.forward[row, column]),
        backward=float(matching.backward[row, column]),
        cost=adapter_share(left, right),
        score=score,
        why=told.why(row, column),
    )


@dataclass(frozen=True, eq=False)
class _Told:
    """Says why pairs were taken: what else the left tap could have had, and why it has not."""

    matching: Matching
    scores: Scores
    pairs: Sequence[tuple[int, int]]
    names: tuple[str, str]

    def why(self, row: int, column: int) -> str:
        """The sentence about one of the pairs."""
        known = {j: score for j, score in enumerate(self.scores[row]) if score is not None}
        others = {j: score for j, score in known.items() if (row, j) not in self.pairs}
        fan = self._fan(row, column)
        if not others:
            return "; ".join(filter(None, (fan, f"nothing else is allowed for {self._left(row)}")))
        rival = max(others, key=lambda j: others[j])
        told = f"{self._right(rival)} ({others[rival]:.2f})"
        if others[rival] <= known[column]:
            return f"{fan or f'scores best of {len(known)}'}; next is {told}"
        takers = [i for i, j in self.pairs if j == rival]
        lost = (
            f"goes to {self._left(takers[0])}"
            if takers
            else "would cost other pairs more than it wins"
        )
        return "; ".join(filter(None, (fan, f"{told} scores more, but {lost}")))

    def _fan(self, row: int, column: int) -> str:
        """Which tap this pair shares with others; empty where it shares none."""
        along = sum(i == row for i, _ in self.pairs) - 1
        down = sum(j == column for _, j in self.pairs) - 1
        if along:
            return f"shares {self._left(row)} with {along} more"
        return f"shares {self._right(column)} with {down} more" if down else ""

    def _left(self, row: int) -> str:
        return f"{self.names[0]}:{self.matching.left[row].name}"

    def _right(self, column: int) -> str:
        return f"{self.names[1]}:{self.matching.right[column].name}"
