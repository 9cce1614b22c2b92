"""Stored values as data to train on: batches read from the store's memory maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from convgraft.cache.entry import Entry


@dataclass(frozen=True, eq=False)
class Column:
    """One stored value of all images in one view.

    Attributes:
        entry: where it lies.
        slots: int64 [N]: for every image, its place there.
    """

    entry: Entry
    slots: NDArray[np.int64]

    def rows(self, positions: NDArray[np.int64]) -> Tensor:
        """The values of the images at these positions."""
        return self.entry.read(self.slots[positions])

    def at(self, kept: NDArray[np.int64]) -> Column:
        """The images at these positions alone."""
        return Column(self.entry, self.slots[kept])


class StoredValues:
    """What a frozen part made of images, and their labels.

    With several views, epoch e reads view e modulo their number.

    Attributes:
        columns: labels by column, int64 [N]; `""` is the main one.
        indices: int64 [N]: which images of their `ImageSet` these are.
        views: how many augmented versions of each image there are.
    """

    def __init__(
        self,
        values: Sequence[Sequence[Column]],
        columns: Mapping[str, Tensor],
        indices: NDArray[np.int64],
        images: Callable[[Tensor, int], Tensor] | None = None,
    ) -> None:
        """Row i of every value is image i.

        Args:
            values: for every view, its values.
            images: gives the pixels of some rows in one view, uint8 [n, 3, S, S], where what learns
                reads them too.
        """
        self._values, self.columns, self._images = tuple(values), dict(columns), images
        self.indices, self.views = indices, len(self._values)
        self._view = 0

    @property
    def labels(self) -> Tensor:
        """Labels of the main column, int64 [N]."""
        return self.columns[""]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose view the next batches are of."""
        self._view = epoch % self.views

    def inputs(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The values of some images, one tensor [n, ...] for each value, and then their pixels."""
        positions = rows.numpy()
        found = tuple(column.rows(positions) for column in self._values[self._view])
        return found if self._images is None else (*found, self._images(rows, self._view))

    def batch(self, rows: Tensor) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """The values and the labels of some images."""
        return self.inputs(rows), {name: c[rows] for name, c in self.columns.items()}

    def value(self, number: int) -> Tensor:
        """One value of all images in the first view, [N, ...], read from the store at each call."""
        column = self._values[0][number]
        return column.rows(np.arange(len(column.slots)))

    def first(self, count: int) -> StoredValues:
        """The first images alone."""
        columns = {name: column[:count] for name, column in self.columns.items()}
        kept = np.arange(min(count, len(self)))
        values = [[column.at(kept) for column in view] for view in self._values]
        return StoredValues(values, columns, self.indices[:count], self._images)
