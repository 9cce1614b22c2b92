"""The lines of one cell of a study: what an arm is, what came out of it, or why it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convgraft.compose import Composite
from convgraft.durable.lines import Line
from convgraft.studies.cell import Cell
from convgraft.studies.failures import FAILED
from convgraft.studies.latency import LATENCY, known_latency, latency_of
from convgraft.studies.results import measure_row, short_curve
from convgraft.studies.store import StudyStore
from convgraft.studies.study import Entry
from convgraft.training import FitOptions, Task, evaluate_part


@dataclass(frozen=True, eq=False)
class CellLines:
    """Reads and writes the lines of one cell.

    Attributes:
        images: how many there are to train on.
    """

    cell: Cell
    options: FitOptions
    images: int
    store: StudyStore

    def find(self, arm: str) -> Line | None:
        """The line of an arm; None where it has none yet."""
        return self.store.find(self.cell.name, arm)

    def fail(self, entry: Entry, why: str) -> None:
        """Write the line of an arm that failed."""
        self.store.append_failure({**self._begun(entry), "arm": entry.name, FAILED: why})

    def measure(
        self, entry: Entry, composite: Composite, notes: Mapping[str, Any], task: Task
    ) -> None:
        """Test it, its only time, and write its line."""
        answer, frozen = composite.plan.answer, notes.get("frozen", ())
        val = notes.get("val")
        if val is None:
            val = evaluate_part(composite, task, "val", frozen)[answer].top1
        row = measure_row(
            entry.name,
            composite,
            task,
            seconds=notes["seconds"],
            val=val,
            trainable=notes["trainable"],
            frozen=frozen,
            keep=self.store.predictions_path(self.cell.name, entry.name),
        )
        told = ("loss", "policy", "best_epoch", "gates", "votes")
        self.store.append({
            **self._begun(entry),
            **row.as_dict(),
            **{key: notes[key] for key in told if key in notes},
            **short_curve(notes, answer),
            LATENCY: known_latency(self.store.lines, row.arm, row.macs) or latency_of(composite),
            **self._budget(notes),
            "frozen_images": task.newly_computed(),
        })  # fmt: skip

    def _budget(self, notes: Mapping[str, Any]) -> dict[str, Any]:
        """How many epochs fitted into the seconds that an arm had, where it had any."""
        if self.options.budget_seconds is None:
            return {}
        trained = {"epochs_trained": len(notes["curve"])} if "curve" in notes else {}
        return {"budget_seconds": self.options.budget_seconds, **trained}

    def _begun(self, entry: Entry) -> Line:
        """What every line of an arm begins with."""
        return {
            "cell": self.cell.name,
            "limit": self.cell.limit,
            "seed": self.cell.seed,
            "epochs": self.options.epochs,
            "training_images": self.images,
            "kind": entry.kind,
            "baseline": entry.baseline,
            **({"image_size": entry.image_size} if entry.image_size else {}),
            **({"note": entry.note} if entry.note else {}),
        }
