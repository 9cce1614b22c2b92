"""Order-preserving pairing in which several taps of one network may share a tap of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Move = tuple[str, int, int]  # the next state, and how many rows and columns are then behind
Cell = tuple[str, int, int]  # a state, a row, a column

# From each state, at row i and column j: where one may go without pairing i and j, and with it.
# `rows`: a fan of rows onto column j is open; `columns`: a fan of columns onto row i.
_MOVES: Mapping[str, tuple[tuple[Move, ...], tuple[Move, ...]]] = {
    "free": ((("free", 1, 0), ("free", 0, 1)), (("rows", 1, 0), ("columns", 0, 1))),
    "rows": ((("free", 0, 1), ("rows", 1, 0)), (("rows", 1, 0),)),
    "columns": ((("free", 1, 0), ("columns", 0, 1)), (("columns", 0, 1),)),
}


def pair_fans_in_order(scores: Sequence[Sequence[float | None]]) -> list[tuple[int, int]]:
    """The pairs (i, j) with the highest total score, where pairs may fan into one tap.

    Both i and j never fall. A row may have several columns, or a column several rows, but never
    both at once: every tap belongs to one fan. `scores[i][j]` is None where i and j cannot be
    paired. Exact, by dynamic programming in time rows times columns.

    >>> pair_fans_in_order([[1.0, 0.5], [0.2, 0.4]])
    [(0, 0), (0, 1)]
    >>> pair_fans_in_order([[1.0, 0.5], [0.2, 0.6]])
    [(0, 0), (1, 1)]
    """
    totals: dict[Cell, float] = {}
    chosen: dict[Cell, tuple[Cell, bool]] = {}
    for i in reversed(range(len(scores))):
        for j in reversed(range(len(scores[0]))):
            for state in _MOVES:
                steps = _steps(state, i, j, scores[i][j])
                # where nothing is left to pair, nothing more is won
                worth = [gain + totals.get(cell, 0.0) for cell, gain, _ in steps]
                best = worth.index(max(worth))
                totals[state, i, j] = worth[best]
                cell, _, paired = steps[best]
                chosen[state, i, j] = cell, paired
    return _walk(chosen)


def _steps(state: str, i: int, j: int, score: float | None) -> list[tuple[Cell, float, bool]]:
    """Where one may go, what is won by going there, and whether i and j are paired."""
    apart, together = _MOVES[state]
    steps = [((to, i + down, j + along), 0.0, False) for to, down, along in apart]
    if score is not None:
        steps += [((to, i + down, j + along), score, True) for to, down, along in together]
    return steps


def _walk(chosen: Mapping[Cell, tuple[Cell, bool]]) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    cell: Cell = ("free", 0, 0)
    while cell in chosen:
        _, i, j = cell
        cell, paired = chosen[cell]
        if paired:
            pairs.append((i, j))
    return pairs
