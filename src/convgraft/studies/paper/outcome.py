"""What a row came to: every arm's accuracy, and the best join against what it has to beat."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from convgraft.durable.lines import Line, read_lines
from convgraft.errors import ArtifactError
from convgraft.studies.failures import failures, finished
from convgraft.studies.paper.table_rows import PaperRow
from convgraft.studies.statistics import (
    Interval,
    Trial,
    paired_bootstrap,
    student_interval,
    wilson_interval,
)
from convgraft.studies.store import CONFIG, RESULTS, StudyStore
from convgraft.studies.summary import AVERAGE

JOIN, BASELINE = "join", "baseline"
SEEDS, IMAGES = "seeds", "images"  # what an interval is over


@dataclass(frozen=True)
class ArmFigure:
    """One arm's test top-1, as a share.

    Attributes:
        kind: `join`, `baseline` or `average`.
        top1: its mean over seeds with Student's 95 % interval; of one seed, with Wilson's over test
            images.
        val: mean validation top-1, by which arms are chosen.
    """

    arm: str
    kind: str
    top1: Interval
    val: float
    seeds: int
    seconds: float
    macs: float


@dataclass(frozen=True)
class Against:
    """The best join's top-1 over another arm's, on the same images and seeds."""

    rival: str
    points: Interval

    @property
    def outcome(self) -> str:
        """`above`, `below`, or `tie` where the interval holds 0 or there is none."""
        low, high = self.points.low, self.points.high
        if low is None or high is None or low <= 0 <= high:
            return "tie"
        return "above" if low > 0 else "below"


@dataclass(frozen=True)
class RowOutcome:
    """A row's results.

    Attributes:
        facts: of `RowRun.facts`.
        arms: in the order in which they came.
        best: the join with the highest validation top-1; empty where none has a result.
        single, vote: it against the single network and the average vote that validation chooses.
        failed: `ARM in CELL: why` of arms without a result.
    """

    name: str
    facts: Mapping[str, Any]
    arms: Sequence[ArmFigure]
    best: str
    single: Against | None
    vote: Against | None
    failed: Sequence[str]

    def figure(self, arm: str) -> ArmFigure | None:
        """An arm's; None where it has no result."""
        return next((one for one in self.arms if one.arm == arm), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        told = asdict(self)
        for key in ("single", "vote"):
            against = getattr(self, key)
            told[key] = None if against is None else {**told[key], "outcome": against.outcome}
        return told


def read_outcome(row: PaperRow, folder: Path) -> RowOutcome | None:
    """What lies in the folder of a row's study; None where there is no result yet."""
    if not (folder / CONFIG).is_file():
        return None
    store = StudyStore(folder, read_lines(folder / RESULTS))
    lines = finished(store.lines)
    if not lines:
        return None
    arms = [_figure(name, lines) for name in dict.fromkeys(line["arm"] for line in lines)]
    best, single, vote = (_chosen(arms, kind) for kind in (JOIN, BASELINE, AVERAGE))
    failed = [f"{ln['arm']} in {ln['cell']}: {ln['failed']}" for ln in failures(store.lines)]
    return RowOutcome(
        row.name,
        _facts(folder / CONFIG),
        arms,
        best,
        _against(store, best, single),
        _against(store, best, vote),
        failed,
    )


def _facts(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["paper"]
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f'"{path}" is not of a row of the paper', found=str(error), hint="another --out"
        ) from error


def _figure(arm: str, lines: Sequence[Line]) -> ArmFigure:
    own = [line for line in lines if line["arm"] == arm]
    return ArmFigure(
        arm,
        own[0]["kind"],
        _interval(own),
        fmean(line["val"] for line in own),
        len(own),
        sum(line["seconds"] for line in own),
        fmean(line["macs"] for line in own),
    )


def _interval(lines: Sequence[Line]) -> Interval:
    """Student's over seeds; of one seed Wilson's over its test images."""
    if len(lines) > 1:
        return student_interval([line["test"]["top1"] for line in lines])
    return wilson_interval(lines[0]["test"]["top1"], lines[0]["test"]["images"])


def _chosen(arms: Sequence[ArmFigure], kind: str) -> str:
    """The arm of a kind with the highest validation top-1, of those under the most seeds."""
    most = max(one.seeds for one in arms)
    able = [one for one in arms if one.kind == kind and one.seeds == most]
    return max(able, key=lambda one: one.val).arm if able else ""


def _against(store: StudyStore, own: str, other: str) -> Against | None:
    """One arm's points over another's; None where no cell kept what both predict."""
    cells = dict.fromkeys(line["cell"] for line in store.lines)
    numbers: dict[str, int] = {}
    trials: list[Trial] = []
    for cell in cells if own and other else ():
        mine, theirs = store.predictions(cell, own), store.predictions(cell, other)
        if mine is None or theirs is None or mine.ids != theirs.ids:
            continue
        places = [numbers.setdefault(image, len(numbers)) for image in mine.ids]
        trials.append(Trial(np.array(places, np.int64), mine.right, theirs.right))
    return Against(other, paired_bootstrap(trials).points) if trials else None
