"""What a study came to: its figures, its verdict, and the files that tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convgraft.cli.leak_check import Leaks, leak_notes
from convgraft.errors import RunError
from convgraft.export.files import write_text
from convgraft.report import draw_study, failure_words, study_table, study_verdict, study_words
from convgraft.studies import (
    ArmSummary,
    Comparison,
    Study,
    StudyStore,
    compare_arms,
    failures,
    finished,
    summarise,
)


@dataclass(frozen=True)
class Outcome:
    """A study's lines, and what follows from them.

    Attributes:
        lines: all of them, those of failed arms too.
        arms: figures by arm and limit.
        comparisons: joins against what they have to beat, where predictions were kept.
        failed: the last line of each arm that has no result.
        leaks: pictures in several parts, by cell.
        cells: how many were asked for.
    """

    lines: Sequence[dict[str, Any]]
    arms: Sequence[ArmSummary]
    comparisons: Sequence[Comparison] = ()
    failed: Sequence[dict[str, Any]] = ()
    leaks: Leaks = field(default_factory=dict)
    cells: int = 0

    @property
    def verdict(self) -> list[str]:
        """A sentence or two for each limit and rival; none where no predictions were kept."""
        return study_verdict(self.comparisons)

    @property
    def notes(self) -> list[str]:
        """What is wrong with it, a sentence each."""
        return [*failure_words(self.failed), *leak_notes(self.leaks, self.cells)]


def outcome_of(store: StudyStore, leaks: Leaks, cells: int) -> Outcome:
    """The outcome of a study that was run; raises RunError where every arm failed."""
    failed = failures(store.lines)
    if failed and not finished(store.lines):
        raise RunError("every arm failed", found="\n".join(failure_words(failed)))
    compared = compare_arms(store.lines, store.predictions)
    return Outcome(store.lines, summarise(store.lines), compared, failed, leaks, cells)


def write_files(folder: Path, title: str, outcome: Outcome) -> None:
    """`table.md`, `summary.md` and the figure, all made anew from the study's lines."""
    words = study_words(title, outcome.arms, outcome.comparisons, outcome.notes)
    write_text(folder / "table.md", study_table(outcome.arms))
    write_text(folder / "summary.md", words)
    draw_study(outcome.arms, [folder / "figure.png", folder / "figure.svg"], title=title)


def as_data(folder: Path, study: Study, outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "study": study.name,
        "folder": str(folder),
        "verdict": outcome.verdict,
        "summary": [asdict(arm) for arm in outcome.arms],
        "comparisons": [one.as_dict() for one in outcome.comparisons],
        "failed": list(outcome.failed),
        "leaks": {cell: [asdict(leak) for leak in leaks] for cell, leaks in outcome.leaks.items()},
        "lines": list(outcome.lines),
    }
