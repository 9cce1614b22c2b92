"""`Column`: one label per image under one name, with gaps where an image has none."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convgraft.errors import DataError

Labels = NDArray[np.int64]
MISSING = -1
OWN_COLUMN = "label"  # the one column of sets whose labels have no name: class folders, digits


@dataclass(frozen=True, eq=False)
class Column:
    """One label column of an image set.

    Attributes:
        name: as it was asked for.
        classes: class names; `labels` index into them.
        labels: int64 [N], read-only; -1 where an image has no label.
    """

    name: str
    classes: tuple[str, ...]
    labels: Labels = field(repr=False)


def check_some_label(location: str, column: Column) -> None:
    """Raise `DataError` for a column in which every label is missing."""
    if (column.labels == MISSING).all():
        raise DataError(
            f"{location}: all {len(column.labels)} labels in {column.name} are missing",
            expected="a label for some images",
            hint="choose another column",
        )
