"""Whose turn it is: which arms can be trained now, and what their workers have to know."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from convgraft.studies.arm_task import ArmTask, OpenCell
from convgraft.studies.arms import BASELINES, FINETUNE
from convgraft.studies.cell import Cell
from convgraft.studies.cell_work import is_of_members, members_of
from convgraft.studies.failures import finished
from convgraft.studies.store import CONFIG, StudyStore
from convgraft.studies.study import Entry, Study
from convgraft.training import FitOptions

Place = tuple[str, str]  # names of a cell and of an arm


@dataclass(frozen=True, eq=False)
class Turns:
    """One call of a study, while it goes on.

    Attributes:
        planned: what takes part in every cell.
        token: of this call.
        started: tasks that workers are at.
        settled: arms that have a line, or failed in this call.
        again: members that were asked for once more, for their weights.
    """

    study: Study
    cells: Sequence[Cell]
    open_cell: OpenCell
    options: Callable[[Cell], FitOptions]
    store: StudyStore
    planned: Sequence[Entry]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: dict[Place, ArmTask] = field(default_factory=dict)
    settled: set[Place] = field(default_factory=set)
    again: set[Place] = field(default_factory=set)

    @property
    def places(self) -> list[Place]:
        """All that there is to do, in the order of a study in one process."""
        return [(cell.name, entry.name) for cell in self.cells for entry in self.planned]

    def begin(self) -> None:
        """Take in what was done by earlier calls."""
        self.settled.update((line["cell"], line["arm"]) for line in finished(self.store.lines))
        for cell in self.cells:
            self.tidy(cell)

    def settle(self, task: ArmTask) -> None:
        """A task is over, and what came of it is written."""
        self.settled.add((task.cell.name, task.arm))
        self.tidy(task.cell)

    def entry(self, task: ArmTask) -> Entry:
        """What a task is about."""
        return next(one for one in self.planned if one.name == task.arm)

    def ready(self) -> Iterator[ArmTask]:
        """What can be started; first what frees weights that are kept for it."""
        todo = [
            (cell, entry)
            for cell in self.cells
            for entry in self.planned
            if not {(cell.name, entry.name)} & (self.settled | self.started.keys())
        ]
        for cell, entry in sorted(todo, key=lambda one: not is_of_members(one[1])):
            if not is_of_members(entry):
                if (cell.name, entry.name) not in self.started:
                    yield self._task(cell, entry)
            elif self._waits_for(cell, entry) <= self.settled:
                lost = [one for one in self._members(entry) if self._is_lost(cell, one)]
                if not lost:
                    yield self._task(cell, entry)
                yield from (self._task(cell, one, again=True) for one in self._asked(cell, lost))

    def _asked(self, cell: Cell, lost: Sequence[Entry]) -> Iterator[Entry]:
        """Members that have to be trained once more, and are not yet; noted as asked for."""
        for one in lost:
            if (cell.name, one.name) not in self.again:
                self.again.add((cell.name, one.name))
                yield one

    def _members(self, entry: Entry) -> list[Entry]:
        return members_of(FINETUNE if entry.taught else entry.baseline, self.planned)

    def _waits_for(self, cell: Cell, entry: Entry) -> set[Place]:
        return {(cell.name, one.name) for one in self._members(entry)}

    def _is_lost(self, cell: Cell, member: Entry) -> bool:
        """Whether a member has a line and no weights, and may get them yet."""
        place = (cell.name, member.name)
        if self.store.find(*place) is None:
            return False  # it failed, and so will what is made of it
        missing = not self.store.kept_path(self.state(cell), member.name).is_file()
        return missing and (place not in self.again or place in self.started)

    def state(self, cell: Cell) -> str:
        """Where a cell's unfinished work lies."""
        return f"{cell.name}-{self.options(cell).epochs}"

    def _task(self, cell: Cell, entry: Entry, *, again: bool = False) -> ArmTask:
        """What a worker has to know of an arm."""
        own = self._members(entry) if is_of_members(entry) else []
        lines = [self.store.find(cell.name, one.name) for one in (*own, *([entry] * again))]
        measured = [one for one in finished(self.store.lines) if one["arm"] == entry.name]
        kept = {one.name: self.store.kept_path(self.state(cell), one.name) for one in own}
        return ArmTask(
            token=self.token,
            study=self.study,
            cell=cell,
            open_cell=self.open_cell,
            options=self.options(cell),
            arm=entry.name,
            again=again,
            keep=again or self._is_awaited(cell, entry),
            lines=[*(one for one in lines if one), *([] if again else measured[:1])],
            weights={name: path.read_bytes() for name, path in kept.items() if path.is_file()},
            folder=self.store.folder.resolve(),
            config=(self.store.folder / CONFIG).read_bytes(),
        )

    def _is_awaited(self, cell: Cell, entry: Entry) -> bool:
        """Whether something that has no line yet is made of it."""
        return entry.baseline in BASELINES and any(
            entry in self._members(one) and self.store.find(cell.name, one.name) is None
            for one in self.planned
            if is_of_members(one)
        )

    def tidy(self, cell: Cell) -> None:
        """Forget what was kept for a cell, where nothing will be made of it any more."""
        names = {(cell.name, one.name) for one in self.planned}
        of_members = [one for one in self.planned if is_of_members(one)]
        if names <= self.settled and all(
            self.store.find(cell.name, one.name) for one in of_members
        ):
            self.store.forget(self.state(cell))
