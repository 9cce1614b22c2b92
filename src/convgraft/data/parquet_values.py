"""The values of one Parquet column of labels, over all files; other columns are not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convgraft.errors import DataError

if TYPE_CHECKING:
    from pyarrow import ChunkedArray

    from convgraft.data.parquet_file import ParquetFile


def whole_column(location: str, files: Sequence[ParquetFile], column: str) -> ChunkedArray:
    """The values of a column, file after file; dictionaries become their values.

    Raises:
        DataError: a file is damaged where the column should be.
    """
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
        return np.array(values.drop_null().to_numpy(), dtype=np.int64)
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


def _plain(values: ChunkedArray) -> ChunkedArray:
    from pyarrow import types

    return values.cast(values.type.value_type) if types.is_dictionary(values.type) else values


def _without_null(values: ChunkedArray) -> list[Any]:
    # Not drop_null: Arrow has none for every kind of string.
    return [value for value in values.to_pylist() if value is not None]
