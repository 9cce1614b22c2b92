"""Least squares between two taps in closed form, from their moments.

    W, b = argmin mean |y - W x - b|^2 + penalty * s * |W|^2

where s is the mean variance of the channels of x, so that a penalty means the same at every scale.
Dead and constant channels, and channels that repeat others, get no weight of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convgraft.match.moments import PairMoments

PENALTIES = tuple(10.0**power for power in (-8, -7, -6, -5, -4, -3, -2, -1, 0))
ROUNDING = 1e-10  # share of a variance that is no more than rounding
SMALLEST = 1e-12  # share of the largest eigenvalue below which a direction counts as empty


@dataclass(frozen=True, eq=False)
class RidgeMap:
    """y = weight x + bias.

    Attributes:
        weight: [C_out, C_in], float64.
        bias: [C_out], float64.
        penalty: the strength, relative to the mean variance of the inputs.
    """

    weight: Tensor
    bias: Tensor
    penalty: float


def solve_ridge(pair: PairMoments, penalty: float | None = None) -> RidgeMap:
    """The map from x to y; the penalty is chosen by generalised cross-validation unless given."""
    values, vectors = _eigen(pair.cov_x)
    turned = vectors.T @ pair.cov_xy
    if penalty is None:
        penalty = best_penalty(pair, values, turned)
    scale = float(values.mean())
    kept = _kept(values)
    shrunk = torch.where(kept, 1 / (values + penalty * scale).clamp(min=1e-300), 0.0)
    weight = (vectors @ (shrunk[:, None] * turned)).T
    return RidgeMap(weight, pair.mean_y - weight @ pair.mean_x, penalty)


def best_penalty(
    pair: PairMoments, values: Tensor, turned: Tensor, penalties: Sequence[float] = PENALTIES
) -> float:
    """The penalty with the least generalised cross-validation score.

    Golub, Heath and Wahba, *Generalized Cross-Validation as a Method for Choosing a Good Ridge
    Parameter*, 1979: the mean squared error over (1 - degrees of freedom / rows)^2. Both are summed
    from what a penalty adds to an unpenalised fit, since with fewer rows than features both are
    small differences of large numbers.

    Args:
        values, turned: eigenvalues of the covariance of x, and the cross-covariance in the basis of
            its eigenvectors, [C_in, C_out].
    """
    kept = _kept(values)
    if not kept.any():
        return penalties[-1]
    scale, values, explained = float(values.mean()), values[kept], turned[kept].square().sum(1)
    explained = explained / values
    variance = float(pair.var_y.sum())
    rest = variance - float(explained.sum())
    rest = rest if rest > ROUNDING * variance else 0.0
    free = max(pair.count - 1 - len(values), 0)
    scores = []
    for penalty in penalties:
        share = penalty * scale / (values + penalty * scale)
        error = rest + float((explained * share.square()).sum())
        left = (float(share.sum()) + free) / pair.count
        scores.append(error / left**2)
    return penalties[scores.index(min(scores))]


def _kept(values: Tensor) -> Tensor:
    """Which directions vary at all."""
    return values > SMALLEST * float(values.max().clamp(min=torch.finfo(values.dtype).tiny))


def mean_squared_error(pair: PairMoments, ridge: RidgeMap) -> float:
    """Mean over rows of |y - W x - b|^2, summed over channels, on the data of those moments."""
    weight = ridge.weight
    off = pair.mean_y - weight @ pair.mean_x - ridge.bias
    spread = pair.var_y.sum() - 2 * (weight.T * pair.cov_xy).sum()
    spread = spread + ((weight @ pair.cov_x) * weight).sum()
    return max(float(spread + off.square().sum()), 0.0)


def r_squared(pair: PairMoments, ridge: RidgeMap) -> float:
    """The share of y's variance that the map explains; NaN where y is constant."""
    variance = float(pair.var_y.sum())
    if variance <= SMALLEST * float(pair.y.norms / pair.count):
        return math.nan
    return 1 - mean_squared_error(pair, ridge) / variance


def _eigen(covariance: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(covariance)
    return values.clamp(min=0), vectors
