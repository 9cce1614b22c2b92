"""What commands share in talking to people: tables, progress with an estimate, JSON."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_silent: list[bool] = []
QUIET_SECONDS = 60.0  # without a terminal, a line of progress no more often than that


def be_silent() -> None:
    """Print nothing more on standard output, and no lines for people: another process does."""
    _silent.append(True)


def print_json(data: Any) -> None:
    """One JSON document on standard output; numbers that JSON has no word for become null."""
    if not _silent:
        print(json.dumps(_finite(data), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def say(text: str) -> None:
    """A line for people, on standard error, so that standard output stays clean."""
    if _silent:
        return
    from convgraft.plan.shown import shown

    print(shown(text, len(text)), file=sys.stderr, flush=True)


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], *, words: int = 1
) -> None:
    """A table on standard output: the first columns, of `words`, left, the others right."""
    if _silent:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < words else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    # a file may be called [red].png: cells are text, not markup
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = max(100, console.width)
    console.print(table)


def progress_display(*fields: str, hidden: bool = False) -> Any:
    """A `rich` display of work with time left, on standard error; not drawn without a terminal.

    Args:
        fields: of each task, by name, shown after what is done.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        *(TextColumn(f"{{task.fields[{name}]}}") for name in fields),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=hidden or not console.is_terminal,
    )


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress display with time left, on standard error; gives `report(what, done, total)`.

    Where standard error is no terminal, there is a line now and then.
    """
    with progress_display(hidden=bool(_silent)) as display:
        tasks: dict[str, Any] = {}
        told = [time.monotonic()]

        def report(what: str, done: int, total: int) -> None:
            if display.disable and time.monotonic() - told[0] >= QUIET_SECONDS:
                told[0] = time.monotonic()
                say(f"{what}: {done} of {total}")
            if what not in tasks:
                tasks[what] = display.add_task(what, total=total)
            display.update(tasks[what], completed=done, total=total)

        yield report


def percent(share: float | None) -> str:
    """A share as a percentage with two decimals."""
    return "" if share is None else f"{100 * share:.2f}"


def millions(count: float) -> str:
    """A count in millions."""
    return f"{count / 1e6:.2f} M"


def result_rows(rows: Sequence[Any]) -> list[list[str]]:
    """Rows of results as the cells of the results table."""
    return [
        [
            row.arm,
            percent(row.val),
            percent(row.test.top1),
            f"{row.test.nll:.3f}",
            millions(row.parameters),
            millions(row.macs),
            f"{row.seconds:.0f}",
        ]
        for row in rows
    ]


RESULT_HEADER = ("arm", "val top-1", "test top-1", "test NLL", "weights", "MACs", "seconds")
