"""Rows to the disk, so that whatever was committed can be gone on from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from convgraft.errors import ArtifactError, UsageError, near_miss
from convgraft.predict.pipeline import Answers
from convgraft.predict.rows import RowForm
from convgraft.predict.text_forms import TEXT_FORMS, TextForm

FORMATS = ("csv", "json", "jsonl", "parquet")
SUFFIXES: Mapping[str, str] = {f".{name}": name for name in FORMATS} | {".ndjson": "jsonl"}
ROWS = "rows"


class Writer(Protocol):
    """Takes rows and keeps them in a folder until the file is whole."""

    def write(self, answers: Answers) -> None:
        """Take some rows; they are safe with the next commit."""
        ...

    def commit(self) -> int:
        """Put everything taken on the disk: a place to open a writer at again."""
        ...

    def finish(self) -> Path:
        """The whole file, in the same folder; nothing can be written after it."""
        ...

    def close(self) -> None:
        """Nothing more is written here; what was not committed does not count."""
        ...


def format_of(out: Path | None, format: str | None) -> str:
    """The format that was chosen, or that the file's name says.

    Raises UsageError where neither is one of `FORMATS`.

    >>> format_of(Path("out.csv"), None)
    'csv'
    """
    chosen = format or SUFFIXES.get(out.suffix.lower() if out else "", "")
    if chosen not in FORMATS:
        told = f'there is no format called "{format}"' if format else f'"{out}" names no format'
        raise UsageError(
            told,
            expected=", ".join(FORMATS),
            hint=near_miss(chosen, FORMATS) or "a file such as out.csv, or --format",
        )
    return chosen


def open_writer(format: str, folder: Path, form: RowForm, place: int) -> Writer:
    """A writer in a folder, at the place that the last commit gave; 0 is the beginning.

    What was written behind that place is dropped.

    Raises:
        ArtifactError: what was committed is not there.
        UsageError: Parquet is asked for, and pyarrow is not installed.
    """
    if format == "parquet":
        from convgraft.predict.parquet_parts import ParquetParts

        return ParquetParts(folder, form, place)
    return TextRows(folder / ROWS, TEXT_FORMS[format], form, place)


class TextRows:
    """Rows of text in one file; a place is a number of bytes."""

    def __init__(self, path: Path, text: TextForm, form: RowForm, place: int) -> None:
        self._path, self._text, self._form = path, text, form
        path.touch()
        if (there := path.stat().st_size) < place:
            raise ArtifactError(
                f'"{path}" is not as it was left',
                expected=f"{place} bytes or more",
                found=f"{there}",
                hint=f"remove {path.parent} to begin anew",
            )
        self._file = path.open("r+b")
        self._file.truncate(place)
        self._file.seek(place)
        begin = _bytes(text.begin(form))
        if not place:
            self._file.write(begin)
        self._first = place <= len(begin)

    def write(self, answers: Answers) -> None:
        """Take some rows; they are safe with the next commit."""
        self._file.write(_bytes(self._text.rows(answers, self._form, first=self._first)))
        self._first = False

    def commit(self) -> int:
        """Put everything taken on the disk; how many bytes that is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def finish(self) -> Path:
        """The file, whole."""
        self._file.write(_bytes(self._text.end()))
        self.commit()
        self._file.close()
        return self._path

    def close(self) -> None:
        """Close the file; what was not committed does not count."""
        self._file.close()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
