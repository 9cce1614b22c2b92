"""The values of one Parquet column of labels, over all files; other columns are not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convgraft.data.each_file import Progress
from convgraft.data.parquet_file import each_parquet, first_line, read_file
from convgraft.errors import DataError

if TYPE_CHECKING:
    from pyarrow import ChunkedArray, DataType

    from convgraft.data.parquet_file import ParquetFile


def whole_column(
    location: str,
    files: Sequence[ParquetFile],
    column: str,
    on_progress: Progress | None = None,
) -> ChunkedArray:
    """The values of a column, file after file; dictionaries become their values.

    Args:
        location, files: the set and its files.
        column: which one.
        on_progress: called with (what, files read, files) where they lie elsewhere.

    Raises:
        DataError: a file is damaged where the column should be.
    """
    import pyarrow as pa

    def read(file: ParquetFile) -> list[Any]:
        try:
            values = read_file(
                file.near,
                lambda opened: opened.read(columns=[column]).column(column),
                file.metadata,
            )
            values.validate(full=True)  # text may be no UTF-8, and a dictionary too short
            return _plain(values).chunks
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            what = f"{location}: {column} of {file.path.name} cannot be read"
            raise DataError(what, found=first_line(error)) from error

    found = each_parquet(files, [file.near for file in files], read, f"read {column}", on_progress)
    chunks = [chunk for one in found for chunk in one]
    return pa.chunked_array(chunks, type=_value_type(files[0].schema.field(column).type))


def present_values(location: str, column: str, values: ChunkedArray) -> NDArray[Any]:
    """What is not null, in order: int64, bool or str [M].

    Raises:
        DataError: the column holds neither whole numbers nor strings.
    """
    from pyarrow import types

    kind = values.type
    if types.is_null(kind):  # the type of a column without a single value
        return np.empty(0, dtype=np.int64)
    if types.is_integer(kind):
        return _whole_numbers(location, column, values)
    if types.is_boolean(kind):
        return np.array(_without_null(values), dtype=np.bool_)
    if str(kind) in {"string", "large_string", "string_view"}:
        return np.array(_without_null(values), dtype=np.str_)
    raise DataError(
        f"{location}: the column {column} does not hold classes",
        expected="whole numbers or strings, one per image",
        found=str(kind),
        hint="choose another column with --target NAME",
    )


def _whole_numbers(location: str, column: str, values: ChunkedArray) -> NDArray[np.int64]:
    import pyarrow as pa

    try:
        return np.array(values.drop_null().cast(pa.int64()).to_numpy(), dtype=np.int64)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{location}: the column {column} has numbers that are too large",
            expected="whole numbers below 2^63",
            found=first_line(error),
        ) from error


def _plain(values: ChunkedArray) -> ChunkedArray:
    kind = _value_type(values.type)
    return values if kind == values.type else values.cast(kind)


def _value_type(kind: DataType) -> DataType:
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _without_null(values: ChunkedArray) -> list[Any]:
    # Not drop_null: Arrow has none for every kind of string.
    return [value for value in values.to_pylist() if value is not None]
