"""Rows as text: CSV, JSON Lines, and one JSON list."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from convgraft.predict.pipeline import Answers
from convgraft.predict.rows import RowForm, columns, records, short


class TextForm(Protocol):
    """How rows are written: `begin`, then `rows` again and again, then `end`."""

    def begin(self, form: RowForm) -> str:
        """What stands before all rows."""
        ...

    def rows(self, answers: Answers, form: RowForm, *, first: bool) -> str:
        """Some rows; `first` where none stand before them."""
        ...

    def end(self) -> str:
        """What stands after all rows."""
        ...


class Csv:
    """Comma-separated values with a header line; what is not there is empty."""

    def begin(self, form: RowForm) -> str:
        """The header line."""
        nothing = Answers((), (), np.empty((0, len(form.labels)), np.float32))
        return _csv([list(columns(nothing, form))])

    def rows(self, answers: Answers, form: RowForm, *, first: bool) -> str:
        """A line each; one more for a line break in a file's name, which is quoted."""
        told = [_cells(column) for column in columns(answers, form).values()]
        return _csv(list(zip(*told, strict=True)))

    def end(self) -> str:
        """Nothing."""
        return ""


class JsonLines:
    """A JSON object a line."""

    def begin(self, form: RowForm) -> str:
        """Nothing."""
        return ""

    def rows(self, answers: Answers, form: RowForm, *, first: bool) -> str:
        """A line each."""
        return "".join(f"{_json(row)}\n" for row in records(answers, form))

    def end(self) -> str:
        """Nothing."""
        return ""


class JsonList:
    """One JSON list of objects, a line each."""

    def begin(self, form: RowForm) -> str:
        """The bracket before the rows."""
        return "[\n"

    def rows(self, answers: Answers, form: RowForm, *, first: bool) -> str:
        """A line each, with commas between them."""
        lines = ",\n".join(_json(row) for row in records(answers, form))
        return lines if first else f",\n{lines}"

    def end(self) -> str:
        """The bracket after the rows."""
        return "\n]\n"


TEXT_FORMS: Mapping[str, TextForm] = MappingProxyType(
    {"csv": Csv(), "json": JsonList(), "jsonl": JsonLines()}
)


def _cells(column: Any) -> list[str | float | None]:
    return [short(v) for v in column] if isinstance(column, np.ndarray) else column


def _csv(rows: Any) -> str:
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    # Python before 3.13 does not quote a carriage return, and takes it for the end of a line.
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if any("\r" in cell for cell in row if isinstance(cell, str)) else plain).writerow(
            row
        )
    return text.getvalue()


def _json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)
