"""Run a study: every arm in every cell, each trained, chosen on validation and tested once.

A cell is one number of training images with one seed. What is done is a line in the store and is
not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convgraft.compose import Composite, compose
from convgraft.errors import ArtifactError, RunError
from convgraft.strategies import Ingredients
from convgraft.studies.arms import average_of
from convgraft.studies.lines import Line
from convgraft.studies.results import measure_row
from convgraft.studies.store import StudyStore
from convgraft.studies.study import OWN, Entry, Study, entries, own_answer, taking
from convgraft.studies.trained import train_arm
from convgraft.training import FitOptions, Task, evaluate

Report = Callable[[str, int, int], None]


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

    Raises RunError where somebody stopped it: the same call goes on from the last whole epoch;
    ArtifactError where results of these cells took another number of epochs.
    """
    _check_epochs(cells, options, store)
    for number, cell in enumerate(cells):
        report(f"study {study.name}", number, len(cells))
        task, given = open_cell(cell)
        given = replace(given, images=lambda task=task: task.pixels("train").images)
        work = _Work(cell, task, taking(study, given), options(cell), store, report)
        work.run(entries(study, work.given, cell.seed))
    report(f"study {study.name}", len(cells), len(cells))
    return store.lines


def _check_epochs(
    cells: Sequence[Cell], options: Callable[[Cell], FitOptions], store: StudyStore
) -> None:
    epochs = {cell.name: options(cell).epochs for cell in cells}
    for line in store.lines:
        asked = epochs.get(line["cell"], line["epochs"])
        if line["epochs"] != asked:
            raise ArtifactError(
                f'"{store.folder}" has results of {line["cell"]} with other epochs',
                expected=f"{line['epochs']} epochs",
                found=str(asked),
                hint="the epochs that made them, or another --out",
            )


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
            if self._line(entry.name) is not None:
                continue
            if entry.arm is not None:
                self._train(entry)
            elif entry.baseline == OWN:
                name = "" if entry.kind == "average" else entry.name.removeprefix(f"{OWN}-")
                self._measure(entry, own_answer(self.given, name), self._untrained([]))
            else:
                self._average(entry, planned)
        trained = {entry.baseline for entry in planned if entry.arm and entry.baseline}
        averages = [f"average-{baseline}" for baseline in trained]
        if len(self.given.sources) == 1 or all(map(self._line, averages)):
            self.store.forget(self.state)

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
            raise RunError(
                f"stopped while training {entry.name}, {self.cell.name}",
                found=f'{len(self.store.lines)} results are in "{self.store.folder}"',
                hint="the same command goes on from the last whole epoch",
            )
        if entry.baseline:
            self.store.keep(self.state, entry.name, trained.composite)
        policy = {"policy": trained.notes["freeze"]["name"]}
        self._measure(entry, trained.composite, {**trained.notes, **policy})
        self.store.checkpoint(self.state, entry.name).unlink(missing_ok=True)

    def _average(self, entry: Entry, planned: Sequence[Entry]) -> None:
        own = [one for one in planned if one.baseline == entry.baseline and one.arm is not None]
        members = {next(iter(one.arm.sources)): self._member(one) for one in own if one.arm}
        vote = average_of(self.given, entry.baseline, members)
        self._measure(entry, vote, self._untrained([one.name for one in own]))

    def _member(self, entry: Entry) -> Composite:
        assert entry.arm is not None
        network = compose(entry.arm.plan, entry.arm.sources)
        network.load_state_dict(self.store.kept(self.state, entry.name))
        return network.eval()

    def _untrained(self, members: Sequence[str]) -> dict[str, Any]:
        """Notes of what is not trained itself: what its members took."""
        lines = [line for name in members if (line := self._line(name))]
        summed = {key: sum(line[key] for line in lines) for key in ("seconds", "trainable")}
        return {**summed, "loss": "", "policy": ""}

    def _measure(self, entry: Entry, composite: Composite, notes: Mapping[str, Any]) -> None:
        """Test it, its only time, and write its line."""
        answer = composite.plan.answer
        val = notes.get("val")
        if val is None:
            val = evaluate(composite, self.task.pixels("val"))[answer].top1
        row = measure_row(
            entry.name,
            composite,
            self.task,
            seconds=notes["seconds"],
            val=val,
            trainable=notes["trainable"],
        )
        told = ("loss", "policy", "best_epoch", "gates", "votes")
        self.store.append({
            "cell": self.cell.name,
            "limit": self.cell.limit,
            "seed": self.cell.seed,
            "epochs": self.options.epochs,
            "training_images": len(self.task.split.train),
            "kind": entry.kind,
            "baseline": entry.baseline,
            **row.as_dict(),
            **{key: notes[key] for key in told if key in notes},
        })  # fmt: skip
