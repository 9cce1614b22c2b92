"""Moments of all pairs of taps of two networks, in one pass.

A pair is compared on the grid of the tap that is predicted, so every tap is brought to every grid
that the other network has. All taps of a network stand side by side in one matrix for each grid,
and one product gives the cross moments of all pairs at once. On a grid that only taps of the one
network have, the others of that network meet nothing, and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from convgraft.errors import UsageError
from convgraft.match.grid_sums import GridSums
from convgraft.match.grids import Grid, Sampler, Shape, grid_of, on_grid, rows
from convgraft.match.moments import PairMoments, changed

ROWS = 1200  # of a grid that wait to be summed together


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
        self._widths = {
            grid: (_widths(grid, left, right), _widths(grid, right, left)) for grid in self.grids
        }
        self._sampler = Sampler(self.grids, positions, seed) if positions else None
        self._sums: dict[Grid, GridSums] = {}
        self._waiting: list[tuple[dict[Grid, Tensor], dict[Grid, Tensor]]] = []
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
        drawn = self._sampler.draw(len(left[0])) if self._sampler else None
        self._waiting.append((self._on_grids(left, 0, drawn), self._on_grids(right, 1, drawn)))
        self._rows += max(len(values) for values in self._waiting[-1][0].values())
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
        both = AllPairs(self.left, self.right)
        for grid in self.grids:
            nothing = [torch.zeros(0, sum(widths)).double() for widths in self._widths[grid]]
            own = self._sums.get(grid) or self._summed(grid, *nothing)
            both._sums[grid] = changed(own, total)
        return both

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
        _, there = self._needed(grid)[row]
        start = sum(self.right[other][0] for other in there[: there.index(column)])
        columns = slice(start, start + self.right[column][0])
        return self._sums[grid].pair(row, column, columns, backward=backward)

    def alike(self, row: int, column: int) -> PairMoments:
        """Of the two taps on the coarser of their grids, as similarity compares them."""
        left, right = grid_of(self.left[row]), grid_of(self.right[column])
        return self.pair(row, column, backward=math.prod(left) < math.prod(right))

    def infinite(self) -> tuple[list[int], list[int]]:
        """Left and right taps with values that are infinite or none, by their positions.

        One such value of a map is in all that is resized from it: its weight may be zero, but
        zero times infinity is no number.
        """
        self._sum_up()
        found: tuple[list[int], list[int]] = ([], [])
        for sums in self._sums.values():
            for spreads, indices in zip((sums.left, sums.right), found, strict=True):
                totals = [(i, spread.total) for i, spread in enumerate(spreads) if spread]
                indices += [i for i, total in totals if not total.isfinite().all()]
        return found

    def _sum_up(self) -> None:
        """Sum over the rows that wait: sums are large, so it is done for many rows at once."""
        if not self._waiting:
            return
        waiting, self._waiting, self._rows = self._waiting, [], 0
        for grid in self.grids:
            left, right = (
                torch.cat([batch[grid] for batch in side]).double()
                for side in zip(*waiting, strict=True)
            )
            self._take_in({grid: self._summed(grid, left, right)})

    def _take_in(self, found: Mapping[Grid, GridSums]) -> None:
        for grid, sums in found.items():
            self._sums[grid] = self._sums[grid] + sums if grid in self._sums else sums

    def _on_grids(
        self, values: Sequence[Tensor], side: int, drawn: Mapping[Grid, Tensor] | None
    ) -> dict[Grid, Tensor]:
        """On all grids the rows of a network's taps beside each other, [rows, channels].

        A tap has no channels where it meets none.
        """
        found: dict[Grid, list[Tensor]] = {grid: [] for grid in self.grids}
        for index, value in enumerate(values):
            met = [grid for grid in self.grids if self._widths[grid][side][index]]
            if self._sampler and drawn is not None:
                taken = self._sampler.take(value, {grid: drawn[grid] for grid in met})
            else:
                taken = {grid: rows(on_grid(value, grid)) for grid in met}
            for grid in self.grids:
                count = math.prod(grid) if drawn is None else drawn[grid].shape[1]
                found[grid].append(taken.get(grid, value.new_zeros(len(value) * count, 0)))
        return {grid: torch.cat(beside, 1) for grid, beside in found.items()}

    def _needed(self, grid: Grid) -> list[tuple[int, list[int]]]:
        """For every left tap, the right ones with which it can meet on that grid."""
        every = list(range(len(self.right)))
        own = [j for j in every if grid_of(self.right[j]) == grid]
        return [(i, every if grid_of(self.left[i]) == grid else own) for i in range(len(self.left))]

    def _summed(self, grid: Grid, left: Tensor, right: Tensor) -> GridSums:
        met = [there for _, there in self._needed(grid)]
        return GridSums.of(left, right, self._widths[grid], met)


def _meets(grid: Grid, shape: Shape, others: Sequence[Shape]) -> bool:
    """Whether a tap is compared with any of the others on that grid: its own, or one of theirs."""
    return grid == grid_of(shape) or any(grid == grid_of(other) for other in others)


def _widths(grid: Grid, own: Sequence[Shape], others: Sequence[Shape]) -> list[int]:
    """The channels of each tap that are summed on that grid: none where it meets no other tap."""
    return [shape[0] if _meets(grid, shape, others) else 0 for shape in own]
