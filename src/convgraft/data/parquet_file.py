"""One Parquet file, opened: its footer is read, its rows are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convgraft.data.near import Near
from convgraft.errors import DataError

if TYPE_CHECKING:
    from pyarrow import Schema


@dataclass(frozen=True, eq=False)
class ParquetFile:
    """One file whose footer has been read; `metadata` is pyarrow's, for reading it again."""

    near: Near
    schema: Schema
    metadata: Any

    @property
    def path(self) -> Path:
        """Where it lies, or where its copy does; `near.here()` sees to it that it is there."""
        return self.near.path


def open_file(near: Near) -> ParquetFile:
    """Read a file's footer.

    Raises:
        DataError: pyarrow is missing, or the file is damaged.
        RunError: it lies elsewhere and cannot be had.
    """
    path = near.path
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            "Parquet needs pyarrow, which is not installed", hint="pip install pyarrow"
        ) from error
    try:
        with parquet.ParquetFile(near.here()) as file:
            opened = ParquetFile(near, file.schema_arrow, file.metadata)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file",
            found=first_line(error),
            hint="download it again; it may be cut short",
        ) from error
    _check_names(path, opened.schema.names)
    return opened


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has several columns with one name",
            expected="columns that can be told apart",
            found=", ".join(twice[:5]),
        )


def first_line(error: Exception) -> str:
    """What an error says first; its type where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
