"""Works of `kill_work` that nothing disturbed, each done once for a campaign."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from campaign import Trial
from kill_work import Ended, Work, prepare_pictures, run

PAGE = 4096  # bytes that a file system gives away at once


@dataclass(frozen=True)
class Whole:
    """Work that was left alone, how long it took, and how many files it changed."""

    place: Path
    seconds: float
    changes: int

    @property
    def size(self) -> int:
        """Bytes that its files take on a disk."""
        files = [path for path in self.place.rglob("*") if path.is_file()]
        return sum(-(-path.stat().st_size // PAGE) * PAGE for path in files)


@dataclass
class Ground:
    """Where a campaign works: pictures for all, and each work once as it ends undisturbed."""

    folder: Path
    seed: int
    name: str
    _whole: dict[str, Whole] = field(default_factory=dict)

    def __post_init__(self) -> None:
        prepare_pictures(self.folder / "pictures")

    def whole(self, work: Work) -> Whole:
        """The work without a disturbance."""
        if work.name not in self._whole:
            place = self.folder / "whole" / work.name
            command = work.command(place)
            ended = run(command)
            assert ended.code == 0, ended.said
            self._whole[work.name] = Whole(place, *command.took)
        return self._whole[work.name]

    def drawing(self, number: int) -> random.Random:
        """The random numbers of a trial: the same in a slice of any size."""
        return random.Random(f"{self.seed} {self.name} {number}")

    def places(self, count: int) -> Iterator[tuple[int, Path]]:
        """Numbers of trials, with a place for each, which is gone when the next one comes."""
        for number in range(count):
            place = self.folder / "trials" / str(number)
            yield number, place
            shutil.rmtree(place, ignore_errors=True)


def told(what: str, ended: Ended, codes: tuple[int, ...], *words: str) -> Trial:
    """A trial that is right where a command ended with one of the codes, and said one of the words.

    What says nothing of words is judged by its code alone.
    """
    if "Traceback" in ended.said:
        return Trial(what, f"a traceback: {ended.said[-900:]}")
    if ended.code not in codes:
        return Trial(what, f"exit code {ended.code}: {ended.said[-400:]}")
    if words and not any(word in ended.said for word in words):
        return Trial(what, f"no word of it: {ended.said[-400:]}")
    return Trial(what)
