"""What a study came to: its figures, its verdict, and the files that tell of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convgraft.cli.leak_check import Leaks, leak_notes
from convgraft.cli.leak_file import known_leaks, write_leaks
from convgraft.errors import RunError
from convgraft.export.files import write_text
from convgraft.report import draw_study, failure_words, study_table, study_verdict, study_words
from convgraft.studies import (
    ArmSummary,
    Cell,
    Comparison,
    Study,
    StudyStore,
    compare_arms,
    failures,
    finished,
    summarise,
)

BUDGET_WORDS = (
    "Every arm was trained for about {:g} seconds, one epoch at least: how many epochs that are "
    "depends on the machine, and so do these results."
)
UNREAD_WORDS = "The predictions of {} in {} cannot be read: it is not compared there."


@dataclass(frozen=True)
class Outcome:
    """A study's lines, and what follows from them.

    Attributes:
        lines: all of them, those of failed arms too.
        arms: figures by arm and limit.
        comparisons: joins against what they have to beat, where predictions were kept.
        failed: the last line of each arm that has no result.
        leaks: pictures in several parts, by cell.
        cells: how many there are, in this call and before.
        unread: cell and arm of predictions that cannot be read.
    """

    lines: Sequence[dict[str, Any]]
    arms: Sequence[ArmSummary]
    comparisons: Sequence[Comparison] = ()
    failed: Sequence[dict[str, Any]] = ()
    leaks: Leaks = field(default_factory=dict)
    cells: int = 0
    unread: Collection[tuple[str, str]] = ()

    @property
    def verdict(self) -> list[str]:
        """A sentence or two for each limit and rival; none where no predictions were kept."""
        return study_verdict(self.comparisons)

    @property
    def remarks(self) -> list[str]:
        """What a reader has to know of single arms, and of a budget, a sentence each."""
        done = finished(self.lines)
        told = [f"{line['arm']}: {line['note']}." for line in done if "note" in line]
        budgets = [line["budget_seconds"] for line in done if line.get("budget_seconds")]
        hurried = [BUDGET_WORDS.format(seconds) for seconds in dict.fromkeys(budgets)]
        lost = [UNREAD_WORDS.format(arm, cell) for cell, arm in sorted(self.unread)]
        return [*failure_words(self.failed), *dict.fromkeys(told), *hurried, *lost]

    @property
    def notes(self) -> list[str]:
        """The same, and which pictures are in several parts."""
        return [*self.remarks, *leak_notes(self.leaks, self.cells)]


def outcome_of(store: StudyStore, leaks: Leaks, cells: Sequence[Cell]) -> Outcome:
    """The outcome of a study that was run; raises RunError where every arm failed.

    Args:
        leaks: in the cells of this call; those that were found before are known.
        cells: of this call.
    """
    failed = failures(store.lines)
    if failed and not finished(store.lines):
        raise RunError("every arm failed", found="\n".join(failure_words(failed)))
    compared = compare_arms(store.lines, store.predictions)
    leaks = {**known_leaks(store.folder), **leaks}
    count = len({line["cell"] for line in store.lines} | {cell.name for cell in cells} | {*leaks})
    arms = summarise(store.lines)
    return Outcome(store.lines, arms, compared, failed, leaks, count, store.unread)


def write_files(folder: Path, title: str, outcome: Outcome) -> None:
    """`table.md`, `summary.md` and the figure, all made anew from the study's lines."""
    words = study_words(title, outcome.arms, outcome.comparisons, outcome.notes)
    write_leaks(folder, outcome.leaks)
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
