"""Which taps of two networks belong together, in the order in which both compute.

An order-preserving pairing can never make a circle of wires.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from convgraft.sources import Tap

NEAR = 4.0  # maps whose sides differ by more than this factor are not near


def pair_in_order(scores: Sequence[Sequence[float | None]]) -> list[tuple[int, int]]:
    """The pairs (i, j) with the highest total score, both rising, each index used once at most.

    `scores[i][j]` is None where i and j cannot be paired. Exact, by dynamic programming.

    >>> pair_in_order([[1.0, 5.0], [None, 2.0]])
    [(0, 1)]
    """
    rows, columns = len(scores), len(scores[0]) if scores else 0
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            score = scores[i][j]
            paired = -math.inf if score is None else score + best[i + 1][j + 1]
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    return _walk(scores, best)


def _walk(
    scores: Sequence[Sequence[float | None]], best: Sequence[Sequence[float]]
) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(scores) and j < len(scores[0]):
        score = scores[i][j]
        if score is not None and score > 0 and best[i][j] == score + best[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def stage_ends(taps: Sequence[Tap]) -> tuple[Tap, ...]:
    """The last conv+activation block at each resolution: where a network's stages end.

    Blocks are preferred to single activations; maps of one position are left out.
    """
    ends: dict[tuple[int, ...], Tap] = {}
    for kinds in (("activation",), ("block", "features")):
        for tap in taps:
            if tap.is_map and tap.kind in kinds and tap.shape[1] > 1:
                ends[tap.shape[1:]] = tap
    return tuple(sorted(ends.values(), key=lambda tap: tap.macs))


def pair_by_shape(left: Sequence[Tap], right: Sequence[Tap]) -> list[tuple[Tap, Tap]]:
    """Pair taps in order: as many of equal shape as possible, then the nearest shapes."""
    near_weight = 1.0 / (1 + min(len(left), len(right)))
    scores = [[_shape_score(a, b, near_weight) for b in right] for a in left]
    return [(left[i], right[j]) for i, j in pair_in_order(scores)]


def _shape_score(left: Tap, right: Tap, near_weight: float) -> float | None:
    """1 and more for equal shapes; below `near_weight` for near ones; None for distant ones."""
    side = _ratio(left.shape[1], right.shape[1])
    if side > NEAR:
        return None
    depth = 1 - abs(left.depth - right.depth)
    if left.shape == right.shape:
        return 1 + near_weight * depth / 2
    likeness = 1 / (1 + math.log2(side) + 0.25 * math.log2(_ratio(left.shape[0], right.shape[0])))
    return near_weight * (likeness + depth) / 2


def _ratio(left: int, right: int) -> float:
    return max(left, right) / min(left, right)
