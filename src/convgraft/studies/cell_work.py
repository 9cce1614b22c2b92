"""The work of one cell of a study: train what has no line yet, measure it, and write its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from convgraft.compose import Composite, compose
from convgraft.errors import ArtifactError, DataError, RunError
from convgraft.strategies import Ingredients
from convgraft.studies.arms import BASELINES, FINETUNE, PROBE, Arm, average_of
from convgraft.studies.cell import Cell, Place, Report, StoppedError, stop_if_full, task_at
from convgraft.studies.cell_lines import CellLines
from convgraft.studies.failures import finished, reason
from convgraft.studies.store import StudyStore
from convgraft.studies.study import OWN, Entry, Study, own_answer
from convgraft.studies.trained import Trained, train_arm
from convgraft.training import FitOptions, Task


@dataclass(frozen=True, eq=False)
class CellWork:
    """One cell's work; pixels are decoded once for all of its arms.

    Attributes:
        other: the same images at other sizes, by size.
    """

    study: Study
    cell: Cell
    task: Task
    given: Ingredients
    options: FitOptions
    store: StudyStore
    report: Report
    place: Place = field(default_factory=lambda: Place(0, 1))
    other: dict[int, Task] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Where its unfinished work lies; work with other epochs lies elsewhere."""
        return f"{self.cell.name}-{self.options.epochs}"

    def run(self, planned: Sequence[Entry]) -> None:
        """Do what has no line yet; weights are kept until all that is made of them has its line.

        What is asked for later trains them again.
        """
        what, count = f"study {self.study.name}", len(planned)
        for number, entry in enumerate(planned):
            self.report(what, self.place.number * count + number, self.place.cells * count)
            if self.lines.find(entry.name) is None:
                self.attempt(entry, planned)
        self.report(what, (self.place.number + 1) * count, self.place.cells * count)
        if all(self.lines.find(one.name) for one in planned if is_of_members(one)):
            self.store.forget(self.state)

    @property
    def lines(self) -> CellLines:
        """What it writes."""
        return CellLines(self.cell, self.options, len(self.task.split.train), self.store)

    def _task(self, entry: Entry) -> Task:
        """The images at an arm's size."""
        size = entry.image_size or self.task.size
        if size == self.task.size:
            return self.task
        if size not in self.other:
            self.other[size] = task_at(self.task, size)
        return self.other[size]

    def attempt(self, entry: Entry, planned: Sequence[Entry]) -> None:
        """Do one arm; where it fails its line says why, and the others go on.

        What is wrong with the data is wrong for all of them, and stops the study; so do a full
        disk and a damaged file of the study's own.
        """
        try:
            self._do(entry, planned)
        except (StoppedError, DataError, ArtifactError):
            raise
        except Exception as error:
            stop_if_full(error, f"{entry.name}, {self.cell.name}", self.store.folder)
            self._task(entry).newly_computed()  # not to be counted for the next arm
            self.lines.fail(entry, reason(error))

    def _do(self, entry: Entry, planned: Sequence[Entry]) -> None:
        if entry.arm is not None:
            self._train(entry, entry.arm)
        elif entry.taught is not None:
            members = self._members(FINETUNE, planned, "it learns from all networks")
            self._train(entry, entry.taught(members))
        elif entry.baseline == OWN:
            name = "" if entry.kind == "average" else entry.name.removeprefix(f"{OWN}-")
            answering = own_answer(self.given, name)
            self.lines.measure(
                entry, answering, self._untrained([], frozen=True), self._task(entry)
            )
        else:
            self._average(entry, planned)

    def _train(self, entry: Entry, arm: Arm) -> None:
        trained = self._fit(entry, arm)
        if entry.baseline in BASELINES:
            self.store.keep(self.state, entry.name, trained.composite)
        policy = {"policy": trained.notes["freeze"]["name"]}
        self.lines.measure(entry, trained.composite, {**trained.notes, **policy}, self._task(entry))
        self.store.drop_checkpoint(self.state, entry.name)

    def _fit(self, entry: Entry, arm: Arm) -> Trained:
        """The trained arm; its checkpoint stays. Raises StoppedError where somebody stopped it."""
        where = f"{entry.name}, {self.cell.limit or 'all'} images"
        trained = train_arm(
            arm,
            self._task(entry),
            self.options,
            checkpoint=self.store.checkpoint(self.state, entry.name),
            on_progress=lambda done, total: self.report(where, done, total),
        )
        if not trained.notes["finished"]:
            raise StoppedError(
                f"stopped while training {entry.name}, {self.cell.name}",
                found=f'{len(finished(self.store.lines))} results are in "{self.store.folder}"',
                hint="the same command goes on from the last checkpoint",
            )
        return trained

    def _average(self, entry: Entry, planned: Sequence[Entry]) -> None:
        members = self._members(entry.baseline, planned, "the average is of all networks")
        vote = average_of(self.given, entry.baseline, members)
        names, frozen = [f"{entry.baseline}-{name}" for name in members], entry.baseline == PROBE
        self.lines.measure(entry, vote, self._untrained(names, frozen=frozen), self._task(entry))

    def _members(self, baseline: str, planned: Sequence[Entry], why: str) -> dict[str, Composite]:
        """The trained networks of a baseline by name; raises RunError where one failed."""
        own = members_of(baseline, planned)
        missing = [one.name for one in own if self.lines.find(one.name) is None]
        if missing:
            raise RunError(f"{', '.join(missing)} failed, and {why}")
        return {next(iter(one.arm.sources)): self._member(one) for one in own if one.arm}

    def _member(self, entry: Entry) -> Composite:
        """A network that has its line; trained again where its weights are gone."""
        assert entry.arm is not None
        weights = self.store.kept(self.state, entry.name)
        if weights is None:
            weights = self.train_again(entry, entry.arm)
        network = compose(entry.arm.plan, entry.arm.sources)
        network.load_state_dict(weights)
        return network.eval()

    def train_again(self, entry: Entry, arm: Arm) -> Mapping[str, Tensor]:
        """The same weights once more, kept; raises RunError where they came out otherwise."""
        trained, line = self._fit(entry, arm), self.lines.find(entry.name)
        self.store.drop_checkpoint(self.state, entry.name)
        assert line is not None
        if trained.notes["val"] not in (None, line["val"]):
            raise RunError(
                f"{entry.name} had to be trained again for this, and came out otherwise",
                expected=f"validation top-1 {line['val']}, as in its line",
                found=str(trained.notes["val"]),
                hint="as many threads on the machine that made its line, or another --out",
            )
        self.store.keep(self.state, entry.name, trained.composite)
        return trained.composite.state_dict()

    def _untrained(self, members: Sequence[str], *, frozen: bool) -> dict[str, Any]:
        """Notes of what is not trained itself: what its members took."""
        lines = [line for name in members if (line := self.lines.find(name))]
        summed = {key: sum(line[key] for line in lines) for key in ("seconds", "trainable")}
        unchanged = [f"sources.{name}" for name in self.given.sources] if frozen else []
        return {**summed, "loss": "", "policy": "", "frozen": unchanged}


def is_of_members(entry: Entry) -> bool:
    """Whether it is made of trained single networks, whose weights have to wait for it."""
    average = entry.kind == "average" and entry.baseline in BASELINES
    return average or entry.taught is not None


def members_of(baseline: str, planned: Sequence[Entry]) -> list[Entry]:
    """The single networks that are trained for a baseline."""
    return [one for one in planned if one.baseline == baseline and one.arm is not None]
