"""Which Parquet column holds the labels, and the labels and class names in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convgraft.data.columns import MISSING, Column, check_some_label
from convgraft.data.each_file import Progress
from convgraft.data.imageset import frozen_labels
from convgraft.data.parquet_values import present_values, whole_column
from convgraft.errors import DataError, near_miss

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, Schema

    from convgraft.data.parquet_file import ParquetFile

LABEL_NAMES = ("label", "labels", "class")


def choose_target(
    location: str, files: Sequence[ParquetFile], image: str, target: str | None
) -> str:
    """The label column: the one asked for, or the only one that can be meant.

    Raises:
        DataError: there is no such column, or there are several and none was asked for.
    """
    names = class_names(location, files)

    def count(name: str) -> int:
        known = names.get(name)
        return len(known) if known else len(whole_column(location, files, name).unique())

    return chosen_column(location, files[0].schema.names, names, image, target, count)


def chosen_column(
    location: str,
    names: Sequence[str],
    named: Collection[str],
    image: str,
    target: str | None,
    count: Callable[[str], int],
) -> str:
    """The same, by the names of all columns.

    Args:
        location, image, target: the set, its column of images, and the label column asked for.
        names: of all columns.
        named: columns whose classes have names.
        count: the number of classes of a column.
    """
    columns = [name for name in names if name != image]
    if target is not None:
        check_names(location, names, image, [target])
        return target
    candidates = [name for name in columns if name in named] or [
        name for name in columns if name in LABEL_NAMES
    ]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise DataError(
            f"{location} has no column that is known to hold labels",
            expected=f"a ClassLabel feature or a column named {', '.join(LABEL_NAMES)}",
            found=f"columns {', '.join(columns)}" if columns else "no column besides the images",
            hint="pass --target NAME" if columns else None,
        )
    counts = (f"{name} ({count(name)} classes)" for name in candidates)
    raise DataError(
        f"{location} has {len(candidates)} label columns",
        expected="one of them, named as the target",
        found=", ".join(counts),
        hint="pass --target NAME",
    )


def check_columns(
    location: str, files: Sequence[ParquetFile], image: str, asked: Sequence[str]
) -> None:
    """Raise `DataError` for the first of the columns asked for that is not there."""
    check_names(location, files[0].schema.names, image, asked)


def check_names(location: str, names: Sequence[str], image: str, asked: Sequence[str]) -> None:
    """The same, by the names of all columns."""
    columns = [name for name in names if name != image]
    expected = f"one of {', '.join(columns)}" if columns else "a column besides the images"
    for name in asked:
        if name not in columns:
            raise DataError(
                f"{location} has no label column {name}",
                expected=expected,
                hint=near_miss(name, columns),
            )


def read_column(
    location: str,
    files: Sequence[ParquetFile],
    name: str,
    *,
    gaps: bool,
    on_progress: Progress | None = None,
) -> Column:
    """One label column; the image column is not read.

    Class names come from the ClassLabel feature; without one they are the distinct values, sorted.

    Args:
        location, files: the set and its files.
        name: which column.
        gaps: whether labels may be missing: null, or -1 where a ClassLabel feature gives names.
        on_progress: called with (what, files read, files) where they lie elsewhere.

    Raises:
        DataError: a label is missing without `gaps`, or all are; a label is out of range, or the
            column holds neither whole numbers nor strings.
    """
    values = whole_column(location, files, name, on_progress)
    return column_of(location, name, values, class_names(location, files).get(name), gaps=gaps)


def column_of(
    location: str,
    name: str,
    values: ChunkedArray,
    names: tuple[str, ...] | None,
    *,
    gaps: bool,
) -> Column:
    """The same, by its values and the names of its classes where these are known."""
    if values.null_count and not gaps:
        raise DataError(
            f"{location}: {values.null_count} of {len(values)} labels in {name} are missing",
            expected="a label for every image",
            hint="drop these rows or choose another column with --target NAME",
        )
    classes, numbers = _numbered(location, name, values, names, gaps)
    labels = np.full(len(values), MISSING)
    labels[values.is_valid().to_numpy()] = numbers
    column = Column(name, classes, frozen_labels(labels))
    check_some_label(location, column)
    return column


def _numbered(
    location: str, name: str, values: ChunkedArray, classes: tuple[str, ...] | None, gaps: bool
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names, and the number of the class for every value that is not null."""
    array = present_values(location, name, values)
    if classes is None or array.dtype.kind != "i":
        distinct, numbers = np.unique(array, return_inverse=True)
        return tuple(str(value) for value in distinct.tolist()), numbers.astype(np.int64)
    _check_distinct(location, name, classes)
    said = array[array != MISSING] if gaps else array
    _check_range(location, name, said, len(classes))
    return classes, array


def class_names(location: str, files: Sequence[ParquetFile]) -> dict[str, tuple[str, ...]]:
    """The ClassLabel columns of the files' `huggingface` metadata, with their class names.

    Raises:
        DataError: two files give one column different names.
    """
    known = [(file, names) for file in files if (names := _from_schema(file.schema))]
    for file, names in known[1:]:
        if names != known[0][1]:
            raise DataError(
                f"{location}: {file.path.name} names its classes otherwise than "
                f"{known[0][0].path.name}",
                expected="the same class names, in the same order, in all files",
            )
    return known[0][1] if known else {}


def _from_schema(schema: Schema) -> dict[str, tuple[str, ...]]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: tuple(str(name) for name in feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
            if feature.get("names") and column in schema.names
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}  # another writer's metadata: the columns speak for themselves


def _check_distinct(location: str, target: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{location}: several classes of {target} have one name",
            expected="names that tell the classes apart",
            found=", ".join(twice[:5]),
        )


def _check_range(location: str, target: str, labels: NDArray[np.int64], count: int) -> None:
    outside = labels[(labels < 0) | (labels >= count)]
    if outside.size:
        raise DataError(
            f"{location}: {outside.size} labels in {target} have no class name",
            expected=f"0..{count - 1}, as there are {count} names",
            found=", ".join(str(value) for value in np.unique(outside)[:5]),
            hint="drop these rows; -1 often marks images without a label",
        )
