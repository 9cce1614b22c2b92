"""A candidate as a task: what goes to a worker, what it does there, and what comes back."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from convgraft.compose import cost
from convgraft.durable.on_disk import make_folder, put_in_place
from convgraft.errors import ConvgraftError
from convgraft.strategies import Ingredients
from convgraft.studies.design import build_arm
from convgraft.studies.search.space import Candidate
from convgraft.studies.trained import Trained, train_arm
from convgraft.studies.workers import Report
from convgraft.training import FitOptions, Task

Keep = Callable[[Path, Trained], Any]


@dataclass(frozen=True, eq=False)
class Bench:
    """What candidates are trained on, open in one process.

    Attributes:
        keep: writes a trained network to a folder.
    """

    given: Ingredients
    task: Task
    keep: Keep


@dataclass(frozen=True, eq=False)
class TrialTask:
    """One candidate, by value.

    Attributes:
        token: of the search's call: tasks that have the same one share what is opened.
        open_bench: a function of a module, or a method of plain values.
        options: of every fit; the candidate chooses some itself.
        place: of the candidate in its batch, from 1.
    """

    token: str
    open_bench: Callable[[], Bench]
    candidate: Candidate
    options: FitOptions
    place: int = 1


@dataclass(frozen=True, eq=False)
class TrialParcel:
    """What came of a candidate.

    Attributes:
        facts: as of `facts_of`; empty where there is no result.
        files: of the folder that its network is kept in, by place there.
        problem: why it cannot be trained.
        stopped: whether somebody ended the worker.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    files: Mapping[str, bytes] = field(default_factory=dict)
    problem: str = ""
    stopped: bool = False

    def unpack(self, folder: Path) -> None:
        """Write the files to a new folder; they are on the disk when this returns."""
        for name, data in self.files.items():
            path = folder / name
            make_folder(path.parent)
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(data)
            put_in_place(part, path)


_last: list[tuple[str, Bench]] = []  # what this process has open


def do_trial(task: TrialTask, report: Report) -> TrialParcel:
    """Train a candidate, in a worker; what cannot be trained is told and not raised."""
    began = time.monotonic()
    if not _last or _last[0][0] != task.token:
        _last[:] = [(task.token, task.open_bench())]
    bench, candidate = _last[0][1], task.candidate
    given = replace(
        bench.given, sources={name: bench.given.sources[name] for name in candidate.networks}
    )
    try:
        arm = build_arm(candidate.design, given, task.options.seed)
        trained = train_arm(
            arm,
            bench.task,
            candidate.options(task.options),
            on_progress=partial(report, f"train {task.place}"),
        )
    except ConvgraftError as error:
        return TrialParcel(problem=error.what)
    if not trained.notes["finished"]:
        return TrialParcel(stopped=True)
    seconds = time.monotonic() - began
    return TrialParcel(facts_of(trained), seconds, _files(bench.keep, trained))


def facts_of(trained: Trained) -> dict[str, Any]:
    """What a trial's line says of a trained network."""
    spent = cost(trained.composite)
    return {
        "val": round(trained.notes["val"], 6),  # so that equal counts of images are equal
        "macs": spent.macs,
        "parameters": spent.parameters,
        "trainable": trained.notes["trainable"],
        "best_epoch": trained.notes["best_epoch"],
    }


def _files(keep: Keep, trained: Trained) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="convgraft-") as place:
        folder = Path(place) / "kept"
        keep(folder, trained)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
