"""What changes when the image of a Parquet row does: its file and row, or the file beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convgraft.data.parquet_rows import Group, path_beside, row_groups
from convgraft.data.stamps import file_stamp

if TYPE_CHECKING:
    from convgraft.data.parquet_file import ParquetFile


class ParquetStamps:
    """Gives for each row the stamp of its Parquet file with the row's place in it.

    A row without bytes has its picture beside the file, by path. Which rows those are is not known
    without reading the images; the footer says in which row groups there are some. There every row
    has in its stamp the file that its path names as well: one too many is asked, none too few.

    Of a file that changed after it was opened, some rows may be the old ones: its stamp is neither
    that of the old file nor that of the new one.
    """

    def __init__(self, files: Sequence[ParquetFile], column: str) -> None:
        """Plan the row groups of `files`; no row is read yet. Needs `stamps_known`."""
        self._column = column
        self._groups = row_groups(files)
        self._firsts = np.array([group.first for group in self._groups], dtype=np.int64)
        self._beside = [_may_lie_beside(group, column) is not False for group in self._groups]
        self._files = {file.path: file.near for file in files}
        self._opened = {path: near.stamp() for path, near in self._files.items()}
        self._paths: dict[int, list[str | None]] = {}

    def __call__(self, indices: Sequence[int]) -> list[str]:
        """The stamps of the rows at `indices`, counted over all files."""
        files = {path: self._file_stamp(path) for path in self._files}
        chosen = np.asarray(indices, dtype=np.int64)
        numbers = np.searchsorted(self._firsts, chosen, side="right") - 1
        stamps: list[str] = []
        for index, number in zip(chosen.tolist(), numbers.tolist(), strict=True):
            group = self._groups[number]
            row = index - group.first_of_file
            stamp = f"{files[group.file.path]} row {row} of {self._column}"
            if self._beside[number]:
                stamp += f" {self._stamp_beside(number, index - group.first)}"
            stamps.append(stamp)
        return stamps

    def _file_stamp(self, path: Path) -> str:
        now, opened = self._files[path].stamp(), self._opened[path]
        return now if now == opened else f"{now} opened as {opened}"

    def _stamp_beside(self, number: int, row: int) -> str:
        if number not in self._paths:
            self._paths[number] = _read_paths(self._groups[number], self._column)
        parquet = Path(os.path.abspath(self._groups[number].file.path))  # noqa: PTH100
        path = self._paths[number][row]
        beside = path_beside(parquet, path) if path else None
        return "no path" if beside is None else file_stamp(str(beside))


def stamps_known(files: Sequence[ParquetFile], column: str) -> bool:
    """Whether the footers say for every row group if a picture may lie beside the file."""
    return all(_may_lie_beside(group, column) is not None for group in row_groups(files))


def _may_lie_beside(group: Group, column: str) -> bool | None:
    """Whether a row of the group has a path and may have no bytes; None if nothing says so."""
    chunks = _chunks(group)
    if f"{column}.path" not in chunks:
        return False
    held = chunks.get(f"{column}.bytes")
    if held is None:
        return True
    counts = held.statistics
    return bool(counts.null_count) if counts is not None and counts.has_null_count else None


def _chunks(group: Group) -> dict[str, Any]:
    """The group's part of each column, by the column's path."""
    found = group.file.metadata.row_group(group.number)
    columns = (found.column(number) for number in range(found.num_columns))
    return {column.path_in_schema: column for column in columns}


def _read_paths(group: Group, column: str) -> list[str | None]:
    import pyarrow as pa
    from pyarrow import parquet

    metadata = group.file.metadata
    rows = metadata.row_group(group.number).num_rows
    try:
        with parquet.ParquetFile(group.file.near.here(), metadata=metadata) as file:
            table = file.read_row_group(group.number, columns=[f"{column}.path"])
            return [value and value["path"] for value in table.column(0).to_pylist()]
    # Reading the image will say what is wrong with the file.
    except (pa.ArrowException, OSError, ValueError):
        return [None] * rows
