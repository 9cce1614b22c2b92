"""How alike two taps are, whatever the order and scale of their channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convgraft.match.moments import Cross, PairMoments, Spread


def debiased_cka(pair: PairMoments) -> float:
    """Linear centred kernel alignment of two taps, debiased; 1 is alike, about 0 is unrelated.

    From the unbiased estimator of HSIC (Song, Smola, Gretton, Bedo and Borgwardt 2012), as used in
    Kornblith, Norouzi, Lee and Hinton, *Similarity of Neural Network Representations Revisited*,
    2019, with the kernels x x^T and y y^T written out in moments, so that no kernel matrix is ever
    made. NaN where a tap is constant or fewer than four rows were seen.

    >>> rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> round(debiased_cka(PairMoments.of(rows, 2 * rows + 1)), 6)
    1.0
    """
    if pair.count < 4:
        return math.nan
    between = _hsic(pair.count, pair.x, pair.y, pair.cross)
    alone = [_hsic(pair.count, one, one, _with_itself(one)) for one in (pair.x, pair.y)]
    smallest = [1e-12 * float(one.norms / pair.count) ** 2 for one in (pair.x, pair.y)]
    if any(value <= least for value, least in zip(alone, smallest, strict=True)):
        return math.nan
    return between / math.sqrt(alone[0] * alone[1])


def _with_itself(one: Spread) -> Cross:
    return Cross(one.second, one.weighted, one.weighted, one.fourth)


def _hsic(count: int, x: Spread, y: Spread, cross: Cross) -> float:
    """The unbiased HSIC of kernels without their diagonals, up to a common factor."""
    trace = cross.second.square().sum() - cross.norms
    sums = (x.total.square().sum() - x.norms) * (y.total.square().sum() - y.norms)
    rows = (
        _form(x.total, cross.second, y.total)
        - x.total @ cross.x_weighted
        - y.total @ cross.y_weighted
        + cross.norms
    )
    value = trace + sums / ((count - 1) * (count - 2)) - 2 * rows / (count - 2)
    return float(value / (count * (count - 3)))


def _form(left: Tensor, matrix: Tensor, right: Tensor) -> Tensor:
    return torch.einsum("i,ij,j->", left, matrix, right)
