"""The sums over rows on one grid, from which the moments of every pair that meets there follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from convgraft.match.moments import Cross, PairMoments, Spread


@dataclass(frozen=True, eq=False)
class GridSums:
    """What was summed on one grid: taps of the left network, of the right one, and across.

    Attributes:
        count: rows seen.
        left, right: of each tap, by its position; None where it meets no other tap here.
        second: for every left tap, the sum of x y^T with those right taps that it can meet here,
            [C, their channels].
        left_by_norms: of every left tap, the sum of x |y|^2, [C, right taps], where it meets any;
            right_by_norms the other way.
        norms: sum of |x|^2 |y|^2, [left taps, right taps].
    """

    count: int
    left: tuple[Spread | None, ...]
    right: tuple[Spread | None, ...]
    second: tuple[Tensor, ...]
    left_by_norms: tuple[Tensor, ...]
    right_by_norms: tuple[Tensor, ...]
    norms: Tensor

    @classmethod
    def of(
        cls,
        one: Tensor,
        other: Tensor,
        widths: tuple[Sequence[int], Sequence[int]],
        met: Sequence[Sequence[int]],
    ) -> Self:
        """The sums over rows of the left network's taps and of the right one's.

        Args:
            one, other: [rows, channels of all taps side by side], float64.
            widths: how many channels of each are a tap's; 0 for one that meets no other tap.
            met: for every left tap, the right ones that it can meet.
        """
        left, right = one.split(list(widths[0]), 1), other.split(list(widths[1]), 1)
        one_norms, other_norms = _norms(left), _norms(right)
        return cls(
            len(one),
            _spreads(left, one_norms),
            _spreads(right, other_norms),
            tuple(
                value.T @ (other if _all(here, right) else _joined(here, right))
                for value, here in zip(left, met, strict=True)
            ),
            (one.T @ other_norms).split(list(widths[0])),
            (other.T @ one_norms).split(list(widths[1])),
            one_norms.T @ other_norms,
        )

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.count + other.count,
            tuple(a + b if a and b else None for a, b in zip(self.left, other.left, strict=True)),
            tuple(a + b if a and b else None for a, b in zip(self.right, other.right, strict=True)),
            _added(self.second, other.second),
            _added(self.left_by_norms, other.left_by_norms),
            _added(self.right_by_norms, other.right_by_norms),
            self.norms + other.norms,
        )

    def pair(self, row: int, column: int, columns: slice, *, backward: bool) -> PairMoments:
        """Of predicting a right tap from a left one; `backward`: the left from the right.

        Args:
            columns: of the right tap in the left one's `second`.
        """
        left, right = self.left[row], self.right[column]
        assert left is not None and right is not None
        second, norms = self.second[row][:, columns], self.norms[row, column]
        x_by, y_by = self.left_by_norms[row][:, column], self.right_by_norms[column][:, row]
        if backward:
            return PairMoments(self.count, right, left, Cross(second.T, y_by, x_by, norms))
        return PairMoments(self.count, left, right, Cross(second, x_by, y_by, norms))


def _added(one: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _norms(values: Sequence[Tensor]) -> Tensor:
    """The sums of squares of every tap's rows: [rows, taps]."""
    return torch.stack([value.square().sum(1) for value in values], 1)


def _spreads(values: Sequence[Tensor], norms: Tensor) -> tuple[Spread | None, ...]:
    return tuple(
        Spread.of(value, own) if value.shape[1] else None
        for value, own in zip(values, norms.unbind(1), strict=True)
    )


def _all(chosen: Sequence[int], values: Sequence[Tensor]) -> bool:
    """Whether no other of the values has any channels."""
    return all(index in chosen for index, value in enumerate(values) if value.shape[1])


def _joined(chosen: Sequence[int], values: Sequence[Tensor]) -> Tensor:
    return torch.cat([values[index] for index in chosen] or [values[0][:, :0]], 1)
