"""The encoded image of one Parquet row, without holding all rows as Python objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from convgraft.data.ahead import Ahead
from convgraft.data.broken import BrokenImage
from convgraft.data.file_bytes import file_bytes
from convgraft.data.pages import Pages
from convgraft.data.parquet_file import first_line
from convgraft.errors import DataError

if TYPE_CHECKING:
    from convgraft.data.parquet_file import ParquetFile


@dataclass(frozen=True, eq=False)
class Group:
    """One row group: the unit in which Parquet is read. `first` counts rows over all files."""

    file: ParquetFile
    number: int
    first: int
    first_of_file: int


class ParquetRows:
    """Gives the encoded bytes of the row at an index; row groups are read on first use.

    Row groups stay in memory for a while as Arrow buffers (see `Pages`), so images read in order
    cost one pass over the file however large it is. Who reads from several groups in turn says so
    by `fetch`, and as many stay. Safe to call from several threads.
    """

    def __init__(self, files: Sequence[ParquetFile], column: str) -> None:
        """Plan the row groups of `files`; nothing is read yet."""
        self._column = column
        self._groups = row_groups(files)
        self._firsts = np.array([group.first for group in self._groups], dtype=np.int64)
        self._pages = Pages(self._read)
        place = {id(file): number for number, file in enumerate(files)}
        self._files = [place[id(group.file)] for group in self._groups]
        self._ahead = Ahead([file.near for file in files])

    @property
    def lengths(self) -> tuple[int, ...]:
        """The number of rows of each row group."""
        return tuple(group.file.metadata.row_group(group.number).num_rows for group in self._groups)

    def fetch(self, now: Sequence[int], then: Sequence[int]) -> None:
        """Keep the row groups with these numbers, which are read `now`.

        Of those that are read `then`, remote files begin to come.
        """
        self._pages.hold(len(now))
        self._ahead.bring([self._files[n] for n in now], [self._files[n] for n in then])

    def __call__(self, index: int) -> bytes:
        """The encoded bytes at `index`, counted over all files.

        Raises:
            BrokenImage: the row has no image, or its path leads out of the file's folder.
            DataError: the file is damaged where the row should be.
            OSError: the row has a path, and the file there cannot be read.
        """
        number = int(np.searchsorted(self._firsts, index, side="right")) - 1
        group = self._groups[number]
        value = self._pages.get(number)[index - group.first].as_py()
        id = f"{group.file.near.name}#{index - group.first_of_file}"
        return encoded_bytes(value, group.file.path, id)

    def _read(self, number: int) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        group = self._groups[number]
        path, metadata = group.file.path, group.file.metadata
        try:
            here = group.file.near.here()
            with parquet.ParquetFile(here, metadata=metadata, memory_map=True) as file:
                table = file.read_row_group(group.number, columns=[self._column])
            values = table.column(self._column)
            values.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            found = f"row group {group.number}: {first_line(error)}"
            raise DataError(f"{path} is a damaged Parquet file", found=found) from error
        if len(values) != (told := metadata.row_group(group.number).num_rows):
            raise DataError(
                f"{path} is a damaged Parquet file",
                expected=f"{told} rows in row group {group.number}",
                found=str(len(values)),
            )
        return values


def row_groups(files: Sequence[ParquetFile]) -> tuple[Group, ...]:
    """The row groups of all files that are not empty, in the order of their rows."""
    groups: list[Group] = []
    first = 0
    for file in files:
        first_of_file = first
        for number in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(number).num_rows
            if rows:
                groups.append(Group(file, number, first, first_of_file))
            first += rows
    return tuple(groups)


def path_beside(parquet: Path, path: str) -> Path | None:
    """The file that a row's path names, or None where the path leads out of the file's folder."""
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if posix.is_absolute() or windows.anchor or ".." in windows.parts:
        return None
    return parquet.parent / posix


def encoded_bytes(value: Any, table: Path | None, id: str) -> bytes:
    """The bytes of an image as the hub stores it, or of the file that its path names.

    Args:
        value: bytes, or a mapping with `bytes` and `path`, either of which may be missing.
        table: the file that it stands in, beside which paths are; None: they are not followed.

    Raises:
        BrokenImage: there is no image, or its path leads out of the table's folder.
        OSError: the file there cannot be read.
    """
    if isinstance(value, bytes):
        return value
    data, path = (value or {}).get("bytes"), (value or {}).get("path")
    if data is not None:
        return data
    if not path or table is None:
        raise BrokenImage(id, "is empty (no bytes and no path)")
    beside = path_beside(table, path)
    if beside is None:
        raise BrokenImage(id, f"has a path that leads out of its folder ({path!r})")
    return file_bytes(beside, id=id)
