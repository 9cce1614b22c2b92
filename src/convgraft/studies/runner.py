"""Run a study: every arm in every cell, each trained, chosen on validation and tested once.

A cell is one number of training images with one seed. What is done is a line in the store and is
not done again. An arm that fails has a line that says why, and is tried again by the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convgraft.compose import Composite, compose
from convgraft.errors import DataError, RunError
from convgraft.strategies import Ingredients
from convgraft.studies.arms import PROBE, average_of
from convgraft.studies.failures import FAILED, finished, reason
from convgraft.studies.lines import Line
from convgraft.studies.results import measure_row
from convgraft.studies.store import StudyStore
from convgraft.studies.study import OWN, Entry, Study, entries, own_answer, taking
from convgraft.studies.trained import train_arm
from convgraft.training import FitOptions, Task, evaluate_part

Report = Callable[[str, int, int], None]


class _StoppedError(RunError):
    """Somebody stopped the study; that is no failure of the arm that was being trained."""


@dataclass(frozen=True)
class Cell:
    """One number of training images, with one seed; no limit is all of them."""

    limit: int | None
    seed: int

    @property
    def name(self) -> str:
        """As `400-0` or `all-0`."""
        return f"{self.limit or 'all'}-{self.seed}"


def run_study(
    study: Study,
    cells: Sequence[Cell],
    open_cell: Callable[[Cell], tuple[Task, Ingredients]],
    options: Callable[[Cell], FitOptions],
    store: StudyStore,
    report: Report,
) -> list[Line]:
    """Run what is not done yet; every line of the store, those that were there before too.

    Args:
        open_cell: a cell's images, split with its seed and limit, and the opened networks.
        options: of every fit in a cell.
        report: called with (what, done, total).

    An arm that fails does not stop the others. Raises RunError where somebody stopped it: the same
    call goes on from the last whole epoch; ArtifactError where results of these cells took another
    number of epochs; DataError for what is wrong with the data.
    """
    store.check_epochs({cell.name: options(cell).epochs for cell in cells})
    for number, cell in enumerate(cells):
        report(f"study {study.name}", number, len(cells))
        task, given = open_cell(cell)
        given = replace(given, images=lambda task=task: task.pixels("train").images)
        work = _Work(cell, task, taking(study, given), options(cell), store, report)
        work.run(entries(study, work.given, cell.seed))
    report(f"study {study.name}", len(cells), len(cells))
    return store.lines


@dataclass(frozen=True, eq=False)
class _Work:
    """One cell's work; pixels are decoded once for all of its arms."""

    cell: Cell
    task: Task
    given: Ingredients
    options: FitOptions
    store: StudyStore
    report: Report

    @property
    def state(self) -> str:
        """Where its unfinished work lies; work with other epochs lies elsewhere."""
        return f"{self.cell.name}-{self.options.epochs}"

    def run(self, planned: Sequence[Entry]) -> None:
        """Do what has no line yet; weights are kept until every average vote has its line."""
        for entry in planned:
            if self._line(entry.name) is None:
                self._attempt(entry, planned)
        trained = {entry.baseline for entry in planned if entry.arm and entry.baseline}
        averages = [f"average-{baseline}" for baseline in trained]
        if len(self.given.sources) == 1 or all(map(self._line, averages)):
            self.store.forget(self.state)

    def _attempt(self, entry: Entry, planned: Sequence[Entry]) -> None:
        """Do one arm; where it fails its line says why, and the others go on.

        What is wrong with the data is wrong for all of them, and stops the study.
        """
        try:
            self._do(entry, planned)
        except (_StoppedError, DataError):
            raise
        except Exception as error:
            self.task.newly_computed()  # not to be counted for the next arm
            told = {"arm": entry.name, FAILED: reason(error)}
            self.store.append_failure({**self._place(entry), **told})

    def _do(self, entry: Entry, planned: Sequence[Entry]) -> None:
        if entry.arm is not None:
            self._train(entry)
        elif entry.baseline == OWN:
            name = "" if entry.kind == "average" else entry.name.removeprefix(f"{OWN}-")
            answering = own_answer(self.given, name)
            self._measure(entry, answering, self._untrained([], frozen=True))
        else:
            self._average(entry, planned)

    def _place(self, entry: Entry) -> Line:
        """What every line of an arm begins with."""
        return {
            "cell": self.cell.name,
            "limit": self.cell.limit,
            "seed": self.cell.seed,
            "epochs": self.options.epochs,
            "training_images": len(self.task.split.train),
            "kind": entry.kind,
            "baseline": entry.baseline,
        }

    def _line(self, arm: str) -> Line | None:
        return self.store.find(self.cell.name, arm)

    def _train(self, entry: Entry) -> None:
        assert entry.arm is not None
        where = f"{entry.name}, {self.cell.limit or 'all'} images"
        trained = train_arm(
            entry.arm,
            self.task,
            self.options,
            checkpoint=self.store.checkpoint(self.state, entry.name),
            on_progress=lambda done, total: self.report(where, done, total),
        )
        if not trained.notes["finished"]:
            raise _StoppedError(
                f"stopped while training {entry.name}, {self.cell.name}",
                found=f'{len(finished(self.store.lines))} results are in "{self.store.folder}"',
                hint="the same command goes on from the last whole epoch",
            )
        if entry.baseline:
            self.store.keep(self.state, entry.name, trained.composite)
        policy = {"policy": trained.notes["freeze"]["name"]}
        self._measure(entry, trained.composite, {**trained.notes, **policy})
        self.store.checkpoint(self.state, entry.name).unlink(missing_ok=True)

    def _average(self, entry: Entry, planned: Sequence[Entry]) -> None:
        own = [one for one in planned if one.baseline == entry.baseline and one.arm is not None]
        missing = [one.name for one in own if self._line(one.name) is None]
        if missing:
            raise RunError(f"{', '.join(missing)} failed, and the average is of all networks")
        members = {next(iter(one.arm.sources)): self._member(one) for one in own if one.arm}
        vote = average_of(self.given, entry.baseline, members)
        names, frozen = [one.name for one in own], entry.baseline == PROBE
        self._measure(entry, vote, self._untrained(names, frozen=frozen))

    def _member(self, entry: Entry) -> Composite:
        assert entry.arm is not None
        network = compose(entry.arm.plan, entry.arm.sources)
        network.load_state_dict(self.store.kept(self.state, entry.name))
        return network.eval()

    def _untrained(self, members: Sequence[str], *, frozen: bool) -> dict[str, Any]:
        """Notes of what is not trained itself: what its members took."""
        lines = [line for name in members if (line := self._line(name))]
        summed = {key: sum(line[key] for line in lines) for key in ("seconds", "trainable")}
        unchanged = [f"sources.{name}" for name in self.given.sources] if frozen else []
        return {**summed, "loss": "", "policy": "", "frozen": unchanged}

    def _measure(self, entry: Entry, composite: Composite, notes: Mapping[str, Any]) -> None:
        """Test it, its only time, and write its line."""
        answer, frozen = composite.plan.answer, notes.get("frozen", ())
        val = notes.get("val")
        if val is None:
            val = evaluate_part(composite, self.task, "val", frozen)[answer].top1
        row = measure_row(
            entry.name,
            composite,
            self.task,
            seconds=notes["seconds"],
            val=val,
            trainable=notes["trainable"],
            frozen=frozen,
            keep=self.store.predictions_path(self.cell.name, entry.name),
        )
        told = ("loss", "policy", "best_epoch", "gates", "votes")
        self.store.append({
            **self._place(entry),
            **row.as_dict(),
            **{key: notes[key] for key in told if key in notes},
            "frozen_images": self.task.newly_computed(),
        })  # fmt: skip
