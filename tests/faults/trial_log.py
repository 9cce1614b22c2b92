"""The file of finished trials, one JSON line each: what a run that was stopped goes on from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

FILE = "trials.jsonl"


@dataclass(frozen=True)
class Done:
    """One finished trial.

    Attributes:
        campaign: its name.
        number: of the trial in its campaign, from 0.
        what: the case in a few words.
        wrong: what was broken; empty where the promise held.
        seconds: that it took.
        broke_off: the campaign itself broke here, so trial `number` is still to be tried.
    """

    campaign: str
    seed: int
    number: int
    what: str
    wrong: str
    seconds: float
    broke_off: bool = False


class TrialLog:
    """Trials that are finished, on disk as soon as they are.

    A later line about a trial of the same campaign, seed and number replaces an earlier one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.trials = {_key(done): done for done in _read(self.path)}

    def of(self, campaign: str, seed: int) -> list[Done]:
        """A campaign's trials so far, in order."""
        found = [
            one for one in self.trials.values() if (one.campaign, one.seed) == (campaign, seed)
        ]
        return sorted(found, key=lambda one: one.number)

    def count(self, campaign: str, seed: int) -> int:
        """How many trials are done from the first on, without a gap."""
        whole = {one.number for one in self.of(campaign, seed) if not one.broke_off}
        return next(number for number in range(len(whole) + 1) if number not in whole)

    def forget(self, campaigns: set[str]) -> None:
        """Drop all that is told of these campaigns."""
        kept = [one for one in self.trials.values() if one.campaign not in campaigns]
        self.trials = {_key(one): one for one in kept}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        spare = self.path.with_suffix(".new")
        spare.write_text("".join(_line(one) for one in kept))
        spare.replace(self.path)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Open the file to add to it; a last line that was cut short is taken off."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            held = self.path.read_bytes()
            file.truncate(held.rfind(b"\n") + 1)
            yield Writer(self, file)


@dataclass(frozen=True, eq=False)
class Writer:
    """Adds trials to an open log."""

    log: TrialLog
    file: FileIO

    def add(self, done: Done) -> None:
        """Keep a finished trial; it is on the disk when this returns."""
        self.log.trials[_key(done)] = done
        self.file.write(_line(done).encode())
        os.fsync(self.file.fileno())


def _key(done: Done) -> tuple[str, int, int]:
    return done.campaign, done.seed, done.number


def _line(done: Done) -> str:
    return json.dumps(asdict(done)) + "\n"


def _read(path: Path) -> Iterator[Done]:
    if not path.exists():
        return
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            told: dict[str, Any] = json.loads(line)
            yield Done(**told)
