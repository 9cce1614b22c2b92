"""One Parquet file, opened: its footer is read, its rows are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convgraft.errors import DataError

if TYPE_CHECKING:
    from pyarrow import Schema


@dataclass(frozen=True, eq=False)
class ParquetFile:
    """One file whose footer has been read; `metadata` is pyarrow's, for reading it again."""

    path: Path
    schema: Schema
    metadata: Any


def open_file(path: Path) -> ParquetFile:
    """Read a file's footer.

    Raises:
        DataError: pyarrow is missing, or the file is damaged.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            "Parquet needs pyarrow, which is not installed", hint="pip install pyarrow"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            return ParquetFile(path, file.schema_arrow, file.metadata)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file",
            found=str(error).splitlines()[0],
            hint="download it again; it may be cut short",
        ) from error
