"""Rows as Parquet: a small file for each commit, made into one at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convgraft.errors import ArtifactError, UsageError
from convgraft.export.files import write_whole
from convgraft.predict.pipeline import Answers
from convgraft.predict.rows import Column, RowForm, columns

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = "whole.parquet"
GROUP_ROWS = 2**14  # of a row group of the whole file


class ParquetParts:
    """Rows in numbered Parquet files, `0.parquet`, ...; a place is a number of files.

    A Parquet file can be read once its end is written, so one that grows could not be gone on from.

    Raises:
        ArtifactError: a file that was committed is not there.
        UsageError: pyarrow is not installed.
    """

    def __init__(self, folder: Path, form: RowForm, place: int) -> None:
        check_pyarrow()
        self._folder, self._form, self._parts = folder, form, place
        self._tables: list[pa.Table] = []
        missing = [path for path in self._paths() if not path.is_file()]
        if missing:
            raise ArtifactError(f'"{missing[0]}" is gone', hint=f"remove {folder} to begin anew")

    def write(self, answers: Answers) -> None:
        """Take some rows; they are safe with the next commit."""
        self._tables.append(_table(answers, self._form))

    def commit(self) -> int:
        """Put everything taken on the disk; how many files that makes."""
        if self._tables:
            self._write(self._part(self._parts), iter(self._tables))
            self._tables, self._parts = [], self._parts + 1
        return self._parts

    def finish(self) -> Path:
        """One file of all rows."""
        from pyarrow import parquet

        self.commit()
        self._write(self._folder / WHOLE, map(parquet.read_table, self._paths()))
        return self._folder / WHOLE

    def close(self) -> None:
        """Forget what was not committed."""
        self._tables = []

    def _paths(self) -> Iterator[Path]:
        return map(self._part, range(self._parts))

    def _part(self, number: int) -> Path:
        return self._folder / f"{number}.parquet"

    def _write(self, path: Path, tables: Iterator[pa.Table]) -> None:
        from pyarrow import parquet

        nothing = Answers((), (), np.empty((0, len(self._form.labels)), np.float32))
        schema = _table(nothing, self._form).schema

        def write(part: Path) -> None:
            with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
                for group in _groups(tables):
                    writer.write_table(group)

        write_whole(path, write)


def check_pyarrow() -> None:
    """Raise UsageError where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed",
            hint='pip install "convgraft[parquet]", or --format csv',
        ) from error


def _groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about `GROUP_ROWS`."""
    import pyarrow as pa

    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= GROUP_ROWS:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _table(answers: Answers, form: RowForm) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: _array(column) for name, column in columns(answers, form).items()})


def _array(column: Column) -> Any:
    import pyarrow as pa

    if isinstance(column, np.ndarray):
        return pa.array(column, pa.float32(), mask=np.isnan(column))
    return pa.array(column, pa.string())
