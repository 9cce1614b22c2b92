"""A cell of a study: one number of training images, with one seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from convgraft.errors import ConvgraftError, RunError
from convgraft.studies.failures import is_full_disk, reason
from convgraft.training import Task

Report = Callable[[str, int, int], None]


class StoppedError(RunError):
    """Somebody stopped the study; that is no failure of the arm that was being trained."""


class FullDiskError(StoppedError):
    """There is no room on the disk, which no other arm mends."""


def stop_if_full(error: Exception, where: str, folder: Path) -> None:
    """Stop the study where an error comes of a full disk: the next arm would not fit either.

    Raises FullDiskError, or the error itself where that says what to do.
    """
    if not is_full_disk(error):
        return
    if isinstance(error, ConvgraftError):
        raise error
    raise FullDiskError(
        f"the disk is full: stopped at {where}",
        found=reason(error),
        hint=f'room on the disk of "{folder}"; the same command goes on there',
    ) from error


@dataclass(frozen=True)
class Cell:
    """One number of training images, with one seed; no limit is all of them."""

    limit: int | None
    seed: int

    @property
    def name(self) -> str:
        """As `400-0` or `all-0`."""
        return f"{self.limit or 'all'}-{self.seed}"


@dataclass(frozen=True)
class Place:
    """The number of a cell, from 0, among all cells of a study."""

    number: int
    cells: int


def task_at(task: Task, size: int) -> Task:
    """The same images at another size; whoever reads the test part is noted in one place."""
    fresh = Task(task.images, task.split, size)
    return replace(
        task,
        size=size,
        passes=fresh.passes,
        unstored=fresh.unstored,
        _told=fresh._told,
        _pixels=fresh._pixels,
    )
