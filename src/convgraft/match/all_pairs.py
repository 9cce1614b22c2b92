"""Moments of all pairs of taps of two networks, in one pass.

A pair is compared on the grid of the tap that is predicted, so every tap is brought to every grid
that the other network has. All taps of a network stand side by side in one matrix for each grid,
and one product gives the cross moments of all pairs at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from convgraft.errors import UsageError
from convgraft.match.grids import Grid, Sampler, Shape, grid_of, on_grid, rows
from convgraft.match.moments import Cross, PairMoments, Spread, changed

ROWS = 1200  # of a grid that wait to be summed together


@dataclass(frozen=True, eq=False)
class GridSums:
    """What was summed on one grid: taps of the left network, of the right one, and across.

    Attributes:
        count: rows seen.
        left, right: of each tap, by its position; None where it meets no other tap here.
        second: for every left tap, the sum of x y^T with those right taps that it can meet here,
            [C, their channels].
        left_by_norms: sum of x |y|^2, [left channels, right taps]; right_by_norms the other way.
        norms: sum of |x|^2 |y|^2, [left taps, right taps].
    """

    count: int
    left: tuple[Spread | None, ...]
    right: tuple[Spread | None, ...]
    second: tuple[Tensor, ...]
    left_by_norms: Tensor
    right_by_norms: Tensor
    norms: Tensor

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.count + other.count,
            tuple(a + b if a and b else None for a, b in zip(self.left, other.left, strict=True)),
            tuple(a + b if a and b else None for a, b in zip(self.right, other.right, strict=True)),
            tuple(a + b for a, b in zip(self.second, other.second, strict=True)),
            self.left_by_norms + other.left_by_norms,
            self.right_by_norms + other.right_by_norms,
            self.norms + other.norms,
        )


class AllPairs:
    """Streaming moments of every tap of one network with every tap of another one."""

    def __init__(
        self,
        left: Sequence[Shape],
        right: Sequence[Shape],
        *,
        positions: int | None = None,
        seed: int = 0,
    ) -> None:
        """Nothing seen yet.

        Args:
            left, right: shapes (C, H, W) or (C,) of the taps.
            positions: drawn of each grid for every image; None: all. What that costs in accuracy
                is bounded by `convgraft.match.sampling_bound`.
            seed: of the draws.
        """
        self.left, self.right = tuple(left), tuple(right)
        self.grids = tuple(dict.fromkeys(grid_of(shape) for shape in (*left, *right)))
        self._sampler = Sampler(self.grids, positions, seed) if positions else None
        self._sums: dict[Grid, GridSums] = {}
        self._waiting: list[tuple[dict[Grid, list[Tensor]], dict[Grid, list[Tensor]]]] = []
        self._rows = 0

    @property
    def bytes(self) -> int:
        """What the sums take in memory once anything was added, however much it was."""
        widths = [[shape[0] for shape in side] for side in (self.left, self.right)]
        sides = ((self.left, self.right), (self.right, self.left))
        alone = sum(
            shape[0] ** 2
            for own, others in sides
            for shape in own
            for grid in self.grids
            if _meets(grid, shape, others)
        )
        across = sum(
            widths[0][row] * widths[1][column]
            for grid in self.grids
            for row, columns in self._needed(grid)
            for column in columns
        )
        return 8 * (alone + across)

    def add(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> None:
        """Take in a batch: for every tap its values, [N, *shape], of the same images."""
        if len(left[0]) == 0:
            return
        if self._sampler:
            drawn = self._sampler.draw(len(left[0]))
            one = [self._sampler.take(value, drawn) for value in left]
            other = [self._sampler.take(value, drawn) for value in right]
        else:
            one, other = ([self._everywhere(v) for v in side] for side in (left, right))
        by_grid = [{grid: [v[grid] for v in side] for grid in self.grids} for side in (one, other)]
        self._waiting.append((by_grid[0], by_grid[1]))
        self._rows += max(len(values[0]) for values in by_grid[0].values())
        if self._rows >= ROWS:
            self._sum_up()

    def skip(self, images: int) -> None:
        """Pass over images that another one adds: they have the positions that it draws as well."""
        if self._sampler and images:
            self._sampler.draw(images)

    def everywhere(self, total: Callable[[Tensor], Tensor]) -> AllPairs:
        """The moments of all parts of the data, of which others have added some.

        Args:
            total: the sum of a tensor over all who add; each calls it for the same ones, in the
                same order.
        """
        self._sum_up()
        nothing = [[torch.zeros(0, s[0]).double() for s in side] for side in self._sides]
        both = AllPairs(self.left, self.right)
        for grid in self.grids:
            own = self._sums.get(grid) or self._sum(grid, *nothing)
            both._sums[grid] = changed(own, total)
        return both

    @property
    def _sides(self) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
        return self.left, self.right

    def merged(self, other: AllPairs) -> AllPairs:
        """The moments of both parts of the data; the taps must be the same."""
        if (self.left, self.right) != (other.left, other.right):
            raise UsageError("moments of different taps cannot be added", hint="the same taps")
        self._sum_up()
        other._sum_up()
        both = AllPairs(self.left, self.right)
        both._sums = dict(self._sums)
        both._take_in(other._sums)
        return both

    def pair(self, row: int, column: int, *, backward: bool = False) -> PairMoments:
        """Of predicting the right tap from the left one; `backward`: the left from the right."""
        self._sum_up()
        grid = grid_of(self.left[row] if backward else self.right[column])
        sums = self._sums[grid]
        left, right = sums.left[row], sums.right[column]
        assert left is not None and right is not None
        second = self._second(sums, grid, row, column)
        x_by = sums.left_by_norms[_span(self.left, row), column]
        y_by = sums.right_by_norms[_span(self.right, column), row]
        norms = sums.norms[row, column]
        if backward:
            return PairMoments(sums.count, right, left, Cross(second.T, y_by, x_by, norms))
        return PairMoments(sums.count, left, right, Cross(second, x_by, y_by, norms))

    def alike(self, row: int, column: int) -> PairMoments:
        """Of the two taps on the coarser of their grids, as similarity compares them."""
        left, right = grid_of(self.left[row]), grid_of(self.right[column])
        return self.pair(row, column, backward=math.prod(left) < math.prod(right))

    def _sum_up(self) -> None:
        """Sum over the rows that wait: sums are large, so it is done for many rows at once."""
        if not self._waiting:
            return
        waiting, self._waiting, self._rows = self._waiting, [], 0
        joined = [
            {
                grid: [torch.cat(parts) for parts in zip(*(s[grid] for s in side), strict=True)]
                for grid in self.grids
            }
            for side in zip(*waiting, strict=True)
        ]
        for grid in self.grids:
            self._take_in({grid: self._sum(grid, joined[0][grid], joined[1][grid])})

    def _take_in(self, found: Mapping[Grid, GridSums]) -> None:
        for grid, sums in found.items():
            self._sums[grid] = self._sums[grid] + sums if grid in self._sums else sums

    def _everywhere(self, value: Tensor) -> dict[Grid, Tensor]:
        return {grid: rows(on_grid(value, grid)) for grid in self.grids}

    def _sum(self, grid: Grid, left: Sequence[Tensor], right: Sequence[Tensor]) -> GridSums:
        one, other = torch.cat(list(left), 1), torch.cat(list(right), 1)
        one_norms = torch.stack([value.square().sum(1) for value in left], 1)
        other_norms = torch.stack([value.square().sum(1) for value in right], 1)
        return GridSums(
            len(one),
            self._spreads(grid, self.left, self.right, left),
            self._spreads(grid, self.right, self.left, right),
            tuple(
                one[:, _span(self.left, here)].T @ _columns(other, self.right, there)
                for here, there in self._needed(grid)
            ),
            one.T @ other_norms,
            other.T @ one_norms,
            one_norms.T @ other_norms,
        )

    def _spreads(
        self, grid: Grid, own: Sequence[Shape], others: Sequence[Shape], values: Sequence[Tensor]
    ) -> tuple[Spread | None, ...]:
        return tuple(
            Spread.of(value) if _meets(grid, shape, others) else None
            for shape, value in zip(own, values, strict=True)
        )

    def _needed(self, grid: Grid) -> list[tuple[int, list[int]]]:
        """For every left tap, the right ones with which it can meet on that grid."""
        every = list(range(len(self.right)))
        own = [j for j in every if grid_of(self.right[j]) == grid]
        return [(i, every if grid_of(self.left[i]) == grid else own) for i in range(len(self.left))]

    def _second(self, sums: GridSums, grid: Grid, row: int, column: int) -> Tensor:
        _, there = self._needed(grid)[row]
        place = there.index(column)
        start = sum(self.right[j][0] for j in there[:place])
        return sums.second[row][:, start : start + self.right[column][0]]


def _meets(grid: Grid, shape: Shape, others: Sequence[Shape]) -> bool:
    """Whether a tap is compared with any of the others on that grid: its own, or one of theirs."""
    return grid == grid_of(shape) or any(grid == grid_of(other) for other in others)


def _span(shapes: Sequence[Shape], index: int) -> slice:
    start = sum(shape[0] for shape in shapes[:index])
    return slice(start, start + shapes[index][0])


def _columns(values: Tensor, shapes: Sequence[Shape], chosen: Sequence[int]) -> Tensor:
    if len(chosen) == len(shapes):
        return values
    spans = [values[:, _span(shapes, index)] for index in chosen]
    return torch.cat(spans, 1) if spans else values[:, :0]
