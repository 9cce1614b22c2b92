"""Where rows go that are not written to a file: a table, or text on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from convgraft.cli.console import percent, print_table, say
from convgraft.predict.rows import RowForm, records, shown
from convgraft.predict.text_forms import TextForm

if TYPE_CHECKING:
    from convgraft.predict.pipeline import Answers

TABLE_ROWS = 1000  # of one table: its columns are laid out when all its rows are known
NAMED = 20  # broken images that are named where rows tell them all


class Rows(Protocol):
    """Takes answers as they come."""

    def remaining(self, names: Iterator[str]) -> Iterator[str]:
        """The names that there are no rows for yet."""
        ...

    def add(self, answers: Answers) -> None:
        """Take some answers."""
        ...

    def finish(self) -> None:
        """There are no more."""
        ...


class Table:
    """Tables for people, of up to `TABLE_ROWS` images each; broken images are not in them."""

    def __init__(self, form: RowForm, run: str) -> None:
        self._form, self._run = form, run
        self._cells: list[tuple[str, str]] = []
        self._printed = False

    def remaining(self, names: Iterator[str]) -> Iterator[str]:
        """All names."""
        return names

    def add(self, answers: Answers) -> None:
        """Take some answers; print what makes a table."""
        for row in records(answers, self._form):
            if "classes" in row:
                told = (f"{c['label']} {percent(c['probability'])} %" for c in row["classes"])
                self._cells.append((row["file"], ", ".join(told)))
        while len(self._cells) >= TABLE_ROWS:
            self._print(TABLE_ROWS)

    def finish(self) -> None:
        """Print the rest."""
        if self._cells or not self._printed:
            self._print(len(self._cells))

    def _print(self, count: int) -> None:
        cells, self._cells = self._cells[:count], self._cells[count:]
        title = f"{self._run}: {len(cells)} images"
        print_table(title, ("file", "most probable classes"), cells)
        self._printed = True


class Printed:
    """Rows on standard output, as they come."""

    def __init__(self, form: RowForm, text: TextForm) -> None:
        self._form, self._text = form, text
        self._first = True

    def remaining(self, names: Iterator[str]) -> Iterator[str]:
        """All names."""
        return names

    def add(self, answers: Answers) -> None:
        """Print some rows."""
        begin = self._text.begin(self._form) if self._first else ""
        sys.stdout.write(begin + self._text.rows(answers, self._form, first=self._first))
        sys.stdout.flush()
        self._first = False

    def finish(self) -> None:
        """Print what stands after the rows."""
        sys.stdout.write(self._text.end())


class Told:
    """Names broken images on standard error: all of them, or the first few."""

    def __init__(self, most: int | None) -> None:
        self._most, self._told = most, 0
        self.images = self.failed = 0

    def add(self, answers: Answers) -> None:
        """Name what is broken among some answers."""
        self.images, self.failed = self.images + len(answers), self.failed + answers.failed
        for file, error in zip(answers.files, answers.errors, strict=True):
            if error is not None and (self._most is None or self._told < self._most):
                say(f"left out: {shown(file)}: {error}")
                self._told += 1

    def finish(self) -> None:
        """Say how many were not named."""
        if self.failed > self._told:
            say(f"left out: {self.failed - self._told} more; the rows say why")
