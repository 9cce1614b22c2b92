"""What came of all campaigns: a table for the terminal, one for a page, and every failure."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from campaign import Campaign
from rich.table import Table
from trial_log import Done, TrialLog

HEADER = ("", "campaign", "what holds", "tried", "failures", "seconds")
START, END = "<!-- torture -->", "<!-- /torture -->"
PACKAGES = ("convgraft", "torch", "torchvision", "numpy", "pillow")


@dataclass(frozen=True)
class Row:
    """A campaign and its trials so far."""

    campaign: Campaign
    done: tuple[Done, ...]

    @property
    def failures(self) -> list[Done]:
        """The trials that went wrong, the campaign itself included where it broke off."""
        return [one for one in self.done if one.wrong]

    @property
    def cells(self) -> tuple[str, ...]:
        """As HEADER has it."""
        tried = sum(not one.broke_off for one in self.done)
        seconds = sum(one.seconds for one in self.done)
        numbers = (f"{tried:,}", f"{len(self.failures):,}", f"{seconds:,.0f}")
        return (str(self.campaign.number), self.campaign.name, self.campaign.promise, *numbers)


def rows_of(campaigns: Sequence[Campaign], log: TrialLog, seed: int) -> list[Row]:
    """A row for each campaign that has trials of this seed."""
    rows = [Row(campaign, tuple(log.of(campaign.name, seed))) for campaign in campaigns]
    return [row for row in rows if row.done]


def table_of(rows: Sequence[Row]) -> Table:
    """The table as a terminal shows it."""
    table = Table(*HEADER)
    for column in (table.columns[0], *table.columns[3:]):
        column.justify = "right"
    for row in rows:
        table.add_row(*row.cells, style="red" if row.failures else None)
    return table


def told_failures(rows: Sequence[Row]) -> list[str]:
    """Every failure, with what it takes to try it again."""
    return [
        f"{one.campaign}, seed {one.seed}, trial {one.number}: {one.what}: {one.wrong}"
        for row in rows
        for one in row.failures
    ]


def write_page(path: Path, rows: Sequence[Row], command: str) -> None:
    """Put the table between the two markers of a page; what else it says stays.

    Raises ValueError where the page has no markers.
    """
    before, found, rest = path.read_text().partition(START)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{path} has no lines {START} and {END}")
    path.write_text("\n".join((before + START, _told(rows, command), END + after)))


def _told(rows: Sequence[Row], command: str) -> str:
    own = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    lines = [
        f"{date.today()}, `{command}`: Python {platform.python_version()}, {own}; {machine}.",
        "",
        f"|{'|'.join(HEADER)}|",
        "|--:|:--|:--|--:|--:|--:|",
        *(f"|{'|'.join(cell.replace('|', '&#124;') for cell in row.cells)}|" for row in rows),
    ]
    return "\n".join((*lines, ""))
