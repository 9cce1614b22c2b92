"""What linear maps between all pairs are worth on held-out images, without solving pair by pair.

All maps from one tap on one grid share the covariance of that tap, so it is factored once, and one
solve gives the maps to every tap on that grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from convgraft.match.all_pairs import AllPairs
from convgraft.match.grids import Grid, Shape, grid_of
from convgraft.match.moments import PairMoments
from convgraft.match.ridge import SMALLEST

PENALTY = 1e-3


def held_out_scores(fitted: AllPairs, held: AllPairs, *, backward: bool) -> tuple[Tensor, Tensor]:
    """R^2 and mean squared error of every pair, [left taps, right taps] each.

    Args:
        fitted: moments that maps are solved from, with a penalty of `PENALTY` of the mean variance.
        held: moments that they are judged by.
        backward: the left taps are predicted from the right ones.
    """
    here, there = (fitted.right, fitted.left) if backward else (fitted.left, fitted.right)
    tables = torch.full((2, len(here), len(there)), torch.nan, dtype=torch.float64)
    for number in range(len(here)):
        for goals in _by_grid(there).values():
            pairs, tests = (
                [_pair(moments, number, goal, backward) for goal in goals]
                for moments in (fitted, held)
            )
            tables[:, number, goals] = _scores(pairs, tests)
    scores, errors = tables.transpose(1, 2) if backward else tables
    return scores, errors


def _by_grid(shapes: Sequence[Shape]) -> dict[Grid, list[int]]:
    found: dict[Grid, list[int]] = {}
    for index, shape in enumerate(shapes):
        found.setdefault(grid_of(shape), []).append(index)
    return found


def _pair(moments: AllPairs, here: int, there: int, backward: bool) -> PairMoments:
    row, column = (there, here) if backward else (here, there)
    return moments.pair(row, column, backward=backward)


def _scores(pairs: Sequence[PairMoments], tests: Sequence[PairMoments]) -> Tensor:
    """R^2 and error, [2, pairs], of maps from one tap to several on one grid."""
    weights = _solve(pairs[0].cov_x, torch.cat([pair.cov_xy for pair in pairs], 1))
    spread = (weights * (tests[0].cov_x @ weights)).sum(0)
    covered = (weights * torch.cat([test.cov_xy for test in tests], 1)).sum(0)
    widths = [len(pair.mean_y) for pair in pairs]
    found = []
    parts = zip(
        pairs, tests, *(value.split(widths, -1) for value in (weights, spread, covered)),
        strict=True,
    )  # fmt: skip
    for pair, test, weight, varies, covers in parts:
        off = test.mean_y - pair.mean_y - (test.mean_x - pair.mean_x) @ weight
        error = float((test.var_y - 2 * covers + varies + off.square()).sum().clamp(min=0))
        variance = float(test.var_y.sum())
        still = variance <= SMALLEST * float(test.y.norms / test.count)
        found.append((math.nan if still else 1 - error / variance, error / len(pair.mean_y)))
    return torch.tensor(found, dtype=torch.float64).T


def _solve(covariance: Tensor, cross: Tensor) -> Tensor:
    """The ridge solution, [C_in, C_out]; zero where nothing varies."""
    strength = PENALTY * covariance.diagonal().mean()
    if strength <= 0:
        return torch.zeros_like(cross)
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    factor = torch.linalg.cholesky(covariance + strength * eye)
    return torch.cholesky_solve(cross, factor)
