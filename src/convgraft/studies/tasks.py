"""An arm of a cell as a task: what goes to a worker, what it does there, and what comes back.

Plans, designs, options and places go along by value; a worker opens images and networks itself, and
keeps the last cell for the next task. It does what a study in one process does with an arm, in a
small study folder of its own, and sends home what lies there in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convgraft.durable.lines import Line
from convgraft.errors import ArtifactError, ConvgraftError, DataError
from convgraft.studies.arm_task import ArmTask
from convgraft.studies.cell import StoppedError
from convgraft.studies.cell_work import CellWork
from convgraft.studies.entries import entries
from convgraft.studies.failures import FAILED
from convgraft.studies.own_store import own_store
from convgraft.studies.stopping import Stop
from convgraft.studies.store import StudyStore
from convgraft.studies.study import Entry, taking
from convgraft.studies.workers import Report


@dataclass(frozen=True, eq=False)
class Parcel:
    """What came of a task.

    Attributes:
        line: of the result, or of its failure; None where none was wanted, or the study stops.
        predictions, weights: files' bytes, where there are such.
        stop: what stops the study.
    """

    line: Line | None = None
    predictions: bytes | None = None
    weights: bytes | None = None
    stop: Stop | None = None


def do_arm(task: ArmTask, report: Report) -> Parcel:
    """Train, choose and test an arm, in a worker; what fails is told and not raised."""
    try:
        opened = _opened(task)
        with own_store(task, f"{task.cell.name}-{task.options.epochs}") as store:
            work = replace(opened.work, store=store, report=report, options=task.options)
            return _done(task, work, opened.planned)
    except ConvgraftError as error:
        return Parcel(stop=Stop.of(error))


def _done(task: ArmTask, work: CellWork, planned: Sequence[Entry]) -> Parcel:
    entry = next(one for one in planned if one.name == task.arm)
    given = len(work.store.lines)
    if task.again:
        try:
            assert entry.arm is not None
            work.train_again(entry, entry.arm)
        except (StoppedError, DataError, ArtifactError):
            raise
        except Exception:  # whoever needs the weights trains it too, and says why that failed
            return Parcel()
    else:
        work.attempt(entry, planned)
    new = work.store.lines[given:]
    failed = any(FAILED in line for line in new)
    predictions = work.store.predictions_path(task.cell.name, task.arm)
    weights = work.store.kept_path(work.state, task.arm)
    return Parcel(
        new[0] if new else None,
        None if failed else _bytes(predictions),
        _bytes(weights) if task.keep and not failed else None,
    )


@dataclass(frozen=True, eq=False)
class _Opened:
    """A cell that is open in this process, and what takes part in it."""

    token: tuple[str, str]
    work: CellWork
    planned: Sequence[Entry]


_last: list[_Opened] = []  # one cell: its pixels may be most of the memory


def _opened(task: ArmTask) -> _Opened:
    token = (task.token, task.cell.name)
    if not _last or _last[0].token != token:
        _last.clear()
        images, given = task.open_cell(task.cell)
        given = taking(task.study, replace(given, images=lambda: images.pixels("train").images))
        nowhere = StudyStore(Path(), [])
        work = CellWork(task.study, task.cell, images, given, task.options, nowhere, _unheard)
        _last.append(_Opened(token, work, entries(task.study, given, task.cell.seed)))
    return _last[0]


def _unheard(what: str, done: int, total: int) -> None:
    pass


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
