"""Which Parquet column holds the labels, and the labels and class names in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
    columns = [name for name in files[0].schema.names if name != image]
    if target is not None:
        _check_column(location, columns, target)
        return target
    named = [name for name in columns if name in class_names(location, files)]
    candidates = named or [name for name in columns if name in LABEL_NAMES]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise DataError(
            f"{location} has no column that is known to hold labels",
            expected=f"a ClassLabel feature or a column named {', '.join(LABEL_NAMES)}",
            found=f"columns {', '.join(columns)}" if columns else "no column besides the images",
            hint="pass --target NAME" if columns else None,
        )
    counts = (f"{name} ({_count(location, files, name)} classes)" for name in candidates)
    raise DataError(
        f"{location} has {len(candidates)} label columns",
        expected="one of them, named as the target",
        found=", ".join(counts),
        hint="pass --target NAME",
    )


def read_classes(
    location: str, files: Sequence[ParquetFile], target: str
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Class names, and labels int64 [N] that index into them; the image column is not read.

    Names come from the ClassLabel feature; without one they are the distinct values, sorted.

    Raises:
        DataError: a label is missing or out of range, or the column holds neither whole numbers
            nor strings.
    """
    values = _whole_column(location, files, target)
    if values.null_count:
        raise DataError(
            f"{location}: {values.null_count} of {len(values)} labels in {target} are missing",
            expected="a label for every image",
            hint="drop these rows or choose another column with --target NAME",
        )
    array = _as_array(location, target, values)
    names = class_names(location, files).get(target)
    if names is None or array.dtype.kind != "i":
        distinct, labels = np.unique(array, return_inverse=True)
        return tuple(str(value) for value in distinct.tolist()), labels.astype(np.int64)
    _check_range(location, target, array, len(names))
    return names, array


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
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}  # another writer's metadata: the columns speak for themselves


def _check_column(location: str, columns: Sequence[str], target: str) -> None:
    if target not in columns:
        raise DataError(
            f"{location} has no label column {target}",
            expected=f"one of {', '.join(columns)}" if columns else "a column besides the images",
            hint=near_miss(target, columns),
        )


def _count(location: str, files: Sequence[ParquetFile], column: str) -> int:
    names = class_names(location, files).get(column)
    return len(names) if names else len(_whole_column(location, files, column).unique())


def _whole_column(location: str, files: Sequence[ParquetFile], column: str) -> ChunkedArray:
    import pyarrow as pa
    from pyarrow import parquet

    chunks: list[Any] = []
    for file in files:
        try:
            with parquet.ParquetFile(file.path, metadata=file.metadata) as opened:
                table = opened.read(columns=[column])
        except (pa.ArrowException, OSError, ValueError) as error:
            what = f"{location}: {column} of {file.path.name} cannot be read"
            raise DataError(what, found=str(error).splitlines()[0]) from error
        chunks += table.column(0).chunks
    values = pa.chunked_array(chunks, type=files[0].schema.field(column).type)
    return _plain(values)


def _plain(values: ChunkedArray) -> ChunkedArray:
    from pyarrow import types

    return values.cast(values.type.value_type) if types.is_dictionary(values.type) else values


def _as_array(location: str, target: str, values: ChunkedArray) -> NDArray[Any]:
    from pyarrow import types

    kind = values.type
    if types.is_integer(kind):
        return np.array(values.to_numpy(), dtype=np.int64)
    if types.is_boolean(kind):
        return np.array(values.to_pylist(), dtype=np.bool_)
    if str(kind) in {"string", "large_string", "string_view"}:
        return np.array(values.to_pylist(), dtype=np.str_)
    raise DataError(
        f"{location}: the column {target} does not hold classes",
        expected="whole numbers or strings, one per image",
        found=str(kind),
        hint="choose another column with --target NAME",
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
