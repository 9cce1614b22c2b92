"""Streaming moments: everything that matching needs to know of the data, in one pass.

Sums over images and positions, in float64, of products within and across taps. Their size depends
on the channels alone, so memory does not grow with the data; sums of parts of the data add up, so a
pass can be split over workers.

`x` are the values at one tap and `y` those at another one, row by row: one row an image and
position, on the grid of the tap that is to be predicted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

WHOLE = 128  # channels; of more, three products of halves were faster than one, by 11 to 18 %


def gram(x: Tensor) -> Tensor:
    """x^T x of rows [rows, C]: [C, C]; what stands on both sides of its diagonal is computed once.

    >>> x = torch.randn(8, 1000, dtype=torch.float64)
    >>> torch.allclose(gram(x), x.T @ x)
    True
    """
    if x.shape[1] <= WHOLE:
        return x.T @ x
    left, right = x.tensor_split(2, 1)
    across = left.T @ right
    upper, lower = torch.cat([gram(left), across], 1), torch.cat([across.T, gram(right)], 1)
    return torch.cat([upper, lower])


@dataclass(frozen=True, eq=False)
class Spread:
    """Sums over one tap's rows x, [C] each.

    Attributes:
        total: sum of x, [C].
        second: sum of x x^T, [C, C].
        norms: sum of |x|^2, [].
        fourth: sum of |x|^4, [].
        weighted: sum of x |x|^2, [C].
    """

    total: Tensor
    second: Tensor
    norms: Tensor
    fourth: Tensor
    weighted: Tensor

    @classmethod
    def of(cls, x: Tensor, norms: Tensor | None = None) -> Self:
        """The sums over rows [rows, C], float64; `norms`: their |x|^2 [rows], if known."""
        norms = x.square().sum(1) if norms is None else norms
        return cls(x.sum(0), gram(x), norms.sum(), norms.square().sum(), norms @ x)

    def __add__(self, other: Self) -> Self:
        return _added(self, other)


@dataclass(frozen=True, eq=False)
class Cross:
    """Sums over the rows of two taps.

    Attributes:
        second: sum of x y^T, [C_x, C_y].
        x_weighted: sum of x |y|^2, [C_x].
        y_weighted: sum of y |x|^2, [C_y].
        norms: sum of |x|^2 |y|^2, [].
    """

    second: Tensor
    x_weighted: Tensor
    y_weighted: Tensor
    norms: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Self:
        """The sums over rows [rows, C_x] and [rows, C_y], float64."""
        x_norms, y_norms = x.square().sum(1), y.square().sum(1)
        return cls(x.T @ y, y_norms @ x, x_norms @ y, x_norms @ y_norms)

    def __add__(self, other: Self) -> Self:
        return _added(self, other)


Sums = TypeVar("Sums", Spread, Cross)


def _added(one: Sums, other: Sums) -> Sums:
    sums = (getattr(one, f.name) + getattr(other, f.name) for f in fields(one))
    return type(one)(*sums)


@dataclass(frozen=True, eq=False)
class PairMoments:
    """What is known of two taps: counts, sums, and the covariances that follow from them."""

    count: int
    x: Spread
    y: Spread
    cross: Cross

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Self:
        """Of rows [rows, C_x] and [rows, C_y]."""
        x, y = x.double(), y.double()
        return cls(len(x), Spread.of(x), Spread.of(y), Cross.of(x, y))

    def __add__(self, other: Self) -> Self:
        """Of the rows of both."""
        count = self.count + other.count
        return type(self)(count, self.x + other.x, self.y + other.y, self.cross + other.cross)

    @property
    def mean_x(self) -> Tensor:
        """[C_x]."""
        return self.x.total / self.count

    @property
    def mean_y(self) -> Tensor:
        """[C_y]."""
        return self.y.total / self.count

    @cached_property
    def cov_x(self) -> Tensor:
        """[C_x, C_x], with a divisor of `count`."""
        return self.x.second / self.count - torch.outer(self.mean_x, self.mean_x)

    @cached_property
    def cov_xy(self) -> Tensor:
        """[C_x, C_y]."""
        return self.cross.second / self.count - torch.outer(self.mean_x, self.mean_y)

    @cached_property
    def var_y(self) -> Tensor:
        """[C_y]; never negative."""
        return (self.y.second.diagonal() / self.count - self.mean_y.square()).clamp(min=0)


def changed(sums: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Sums, or a tuple or dataclass of them, with every tensor and number in it changed."""
    if isinstance(sums, Tensor):
        return change(sums)
    if isinstance(sums, int):
        return int(change(torch.tensor(sums)))
    if isinstance(sums, tuple):
        return tuple(changed(one, change) for one in sums)
    if is_dataclass(sums) and not isinstance(sums, type):
        return type(sums)(*(changed(getattr(sums, one.name), change) for one in fields(sums)))
    return sums
