"""A study on many processes: every arm of every cell is a task, and one process writes what comes.

An average or a distilled network waits for the networks that it is made of, and gets their weights.
Lines, predictions and weights are those of a study in one process. Lines come in the order in which
arms end; when all are there they are put into the order of that study.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from convgraft.durable.lines import Line, read_lines
from convgraft.errors import ArtifactError, DataError
from convgraft.studies.arm_task import ArmTask, OpenCell
from convgraft.studies.cell import Cell, Report, StoppedError, stop_if_full
from convgraft.studies.cell_work import CellWork
from convgraft.studies.entries import entries, with_sides
from convgraft.studies.failures import FAILED, finished
from convgraft.studies.store import RESULTS, StudyStore
from convgraft.studies.study import Study, taking
from convgraft.studies.tasks import Parcel, do_arm
from convgraft.studies.turns import Place, Turns
from convgraft.studies.workers import TRIES, Ended, Workers
from convgraft.training import FitOptions

PATIENCE = 0.5  # seconds until the next look at what workers say


def spread_study(
    study: Study,
    cells: Sequence[Cell],
    open_cell: OpenCell,
    options: Callable[[Cell], FitOptions],
    store: StudyStore,
    report: Report,
    workers: Workers,
) -> list[Line]:
    """As `convgraft.studies.run_study`, by workers, which stay as they are after it.

    Args:
        open_cell: a function of a module, or a method of plain values: it is sent to workers.

    Raises as that does. Where it raises, workers may still be at something: close them.
    """
    store.check_epochs({cell.name: options(cell).epochs for cell in cells})
    if not cells:
        return store.lines
    _, given = open_cell(cells[0])
    given = taking(study, given)
    study = with_sides(study, given, cells[0].seed)
    # names are the same in all cells, and whatever images make alike
    planned = entries(study, replace(given, images=None), cells[0].seed)
    turns = Turns(study, cells, open_cell, options, store, planned)
    store.expect_disorder()
    _Spread(turns, report, workers).run()
    store.put_in_order(turns.places)
    return store.lines


@dataclass(frozen=True, eq=False)
class _Spread:
    """One call, while it goes on.

    Attributes:
        stopped: how often a worker was ended while it worked on an arm.
    """

    turns: Turns
    report: Report
    workers: Workers
    stopped: dict[Place, int] = field(default_factory=dict)

    def run(self) -> None:
        """Do what has no line yet."""
        turns, store = self.turns, self.turns.store
        turns.begin()
        try:
            while self._start() or turns.started:
                self._tell()
                for ended in self.workers.finished(PATIENCE, self.report):
                    self._take(ended)
        except KeyboardInterrupt as error:
            # read back: it can come when a line is on the disk and not yet noted
            kept = finished(read_lines(store.folder / RESULTS))
            raise StoppedError(
                f"stopped while {len(turns.started)} arms were in work",
                found=f'{len(kept)} results are in "{store.folder}"',
                hint="the same command goes on from the last checkpoint of each",
            ) from error
        self._tell()

    def _tell(self) -> None:
        places = self.turns.places
        done = sum(place in self.turns.settled for place in places)
        self.report(f"study {self.turns.study.name}", done, len(places))

    def _start(self) -> bool:
        """Start as many tasks as there is room for; whether one was."""
        started = self.turns.started
        before = len(started)
        for task in self.turns.ready() if self.workers.has_room else ():
            started[task.cell.name, task.arm] = task
            self.workers.start((task.cell.name, task.arm), do_arm, task)
            if not self.workers.has_room:
                break
        return len(started) > before

    def _take(self, ended: Ended) -> None:
        """Write what came of a task."""
        task = self.turns.started.pop(ended.key)  # type: ignore[arg-type]
        if ended.lost:
            self._give_up(task, ended.lost)
            return
        parcel: Parcel = ended.result
        if parcel.stop is not None:
            self._stop(task, parcel)
            return
        try:
            self._write(task, parcel)
        except (ArtifactError, DataError):
            raise
        except Exception as error:
            stop_if_full(error, f"{task.arm}, {task.cell.name}", self.turns.store.folder)
            raise
        self.turns.settle(task)

    def _write(self, task: ArmTask, parcel: Parcel) -> None:
        """In this order: a line says that all else is there."""
        state, line, store = self.turns.state(task.cell), parcel.line, self.turns.store
        if parcel.weights is not None:
            store.keep_file(state, task.arm, parcel.weights)
        if parcel.predictions is not None:
            store.keep_predictions(task.cell.name, task.arm, parcel.predictions)
        if line is not None and FAILED in line:
            store.append_failure(line)
            return
        if line is not None:
            store.append(line)
        store.drop_checkpoint(state, task.arm)

    def _stop(self, task: ArmTask, parcel: Parcel) -> None:
        """Raise what stops the study; an arm whose worker was ended alone is done again."""
        assert parcel.stop is not None
        place = (task.cell.name, task.arm)
        self.stopped[place] = self.stopped.get(place, 0) + 1
        if not parcel.stop.is_end_of_worker:
            raise parcel.stop.error
        if self.stopped[place] >= TRIES:
            self._give_up(task, f"its worker was ended, {TRIES} times")
        elif task.again:
            self.turns.again.discard(place)

    def _give_up(self, task: ArmTask, why: str) -> None:
        """An arm that no worker survives has failed."""
        turns = self.turns
        if not task.again:
            images, given = task.open_cell(task.cell)
            parts = (turns.study, task.cell, images, given, task.options)
            CellWork(*parts, turns.store, self.report).lines.fail(turns.entry(task), why)
        turns.settle(task)
