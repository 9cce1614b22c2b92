"""Values of a map on another map's grid: at all of its positions, or at some drawn at random.

Two taps are compared position by position, so both have to be on one grid. A map is brought there
by the same resizing that an adapter does. As that is linear, the value at a few positions is a
matrix product, and the rest of the grid is never computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from convgraft.layers.adapters import Resize

Grid = tuple[int, int]
Shape = tuple[int, ...]


def grid_of(shape: Shape) -> Grid:
    """The height and width of a tap's shape; a vector has one position."""
    height, width = shape[1:] or (1, 1)
    return height, width


def as_map(value: Tensor) -> Tensor:
    """[N, C] as [N, C, 1, 1]; maps as they are."""
    return value if value.dim() == 4 else value[:, :, None, None]


def on_grid(value: Tensor, grid: Grid) -> Tensor:
    """[N, C, H, W] or [N, C] to [N, C, *grid], resized as adapters do."""
    value = as_map(value)
    here = (value.shape[2], value.shape[3])
    if here == grid:
        return value
    return Resize(grid, down=math.prod(grid) < math.prod(here))(value)


def rows(value: Tensor) -> Tensor:
    """[N, C, ...] as [N * positions, C] in float64."""
    return value.detach().double().transpose(0, 1).flatten(1).T.contiguous()


@lru_cache(maxsize=256)
def _axis(here: int, there: int, down: bool) -> Tensor:
    """[there, here]: what a resize does along one axis; it does the same along the other."""
    unit = torch.eye(here).view(here, 1, here, 1)
    return Resize((there, 1), down=down)(unit).flatten(1).T.contiguous()


def resize_rows(here: Grid, there: Grid, places: Tensor) -> Tensor:
    """[..., positions here]: the rows of a resize's matrix for flat positions `places` there.

    The whole matrix has as many numbers as both grids' positions multiplied, and is never made.
    """
    down = math.prod(there) < math.prod(here)
    vertical = _axis(here[0], there[0], down)[places // there[1]]
    horizontal = _axis(here[1], there[1], down)[places % there[1]]
    return (vertical[..., :, None] * horizontal[..., None, :]).flatten(-2)


class Sampler:
    """Draws positions of grids for each image, the same for all taps of that image."""

    def __init__(self, grids: Sequence[Grid], positions: int, seed: int) -> None:
        """`positions` of every grid, or all of a smaller one."""
        self.grids, self._positions = tuple(grids), positions
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, images: int) -> dict[Grid, Tensor]:
        """For each grid, positions [images, count], without repeats within an image."""
        drawn = {}
        for grid in self.grids:
            noise = torch.rand(images, math.prod(grid), generator=self._generator)
            count = min(self._positions, math.prod(grid))
            drawn[grid] = noise.topk(count, 1, largest=False).indices
        return drawn

    def take(self, value: Tensor, drawn: Mapping[Grid, Tensor]) -> dict[Grid, Tensor]:
        """A tap's values [N, C, H, W] at those positions: for each grid [N * count, C]."""
        value = as_map(value)
        here = (value.shape[2], value.shape[3])
        weights = torch.cat([resize_rows(here, grid, places) for grid, places in drawn.items()], 1)
        taken = torch.bmm(weights.to(value.dtype), value.flatten(2).transpose(1, 2))
        parts = taken.split([places.shape[1] for places in drawn.values()], 1)
        return {grid: part.flatten(0, 1) for grid, part in zip(drawn, parts, strict=True)}


def sampling_bound(images: int, drawn: int, of: int, confidence: float = 0.95) -> float:
    """How far a mean over drawn positions can be from the mean over all of them.

    In units of the range of what is averaged (one entry of a moment matrix: a product of two
    channels), for positions drawn without repeats in every image on its own. Serfling's inequality
    (*Probability inequalities for the sum in sampling without replacement*, 1974), two-sided, over
    the images' independent draws: with that confidence the error of one entry is below

        sqrt((1 - (drawn - 1) / of) * log(2 / (1 - confidence)) / (2 * images * drawn))

    >>> round(sampling_bound(2000, 4, 144), 4)
    0.015
    >>> sampling_bound(2000, 144, 144)
    0.0
    """
    if drawn >= of:
        return 0.0
    left = 1 - (drawn - 1) / of
    return math.sqrt(left * math.log(2 / (1 - confidence)) / (2 * images * drawn))
