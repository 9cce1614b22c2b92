"""What is killed: small fits, a comparison, a search and predictions, and how their ends compare.

A work has a place: `place/out` (or `place/out.csv`) for its results and `place/store`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from whole_files import difference

from helpers import head
from helpers_killed import Command, Moment

NETWORK = "python:helpers:Tiny"
TWO = ("--models", NETWORK, NETWORK, "--image-size", 16)
PICTURES = 60
ROWS = 8  # between two commits of a prediction


LIMIT = 300  # seconds that one command may take on a busy machine


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, None where it did not, and all that it printed."""

    code: int | None
    said: str


def run(command: Command, moment: Moment | None = None) -> Ended:
    """Run a command to its end, or until a signal kills it."""
    process = command.start(moment or Moment())
    process.join(LIMIT)
    if process.is_alive():
        process.kill()
        process.join()
        return Ended(None, command.log.read_text())
    return Ended(process.exitcode, command.log.read_text())


@dataclass(frozen=True)
class Work:
    """A command, for any place.

    Attributes:
        arguments: given the place, whose parent's parent may have pictures and a run.
        out: name of what it makes in its place.
    """

    name: str
    arguments: Callable[[Path], tuple[object, ...]]
    out: str = "out"
    prepare: str = ""

    def command(self, place: Path) -> Command:
        """The work in a place, which is made."""
        place.mkdir(parents=True, exist_ok=True)
        told = tuple(map(str, self.arguments(place)))
        out, store, log = place / self.out, place / "store", place / "log.txt"
        return Command(told, out, store, log, store_too=True, prepare=self.prepare)

    def is_done(self, place: Path) -> bool:
        """Whether its one file has its name already: then the same command is refused."""
        return (place / self.out).is_file()

    def is_left(self, place: Path) -> bool:
        """Whether the folder is there in which its one file was made."""
        return (place / f"{self.out}.part").exists()

    def differs(self, place: Path, whole: Path) -> str:
        """What came out otherwise than in the whole; empty for nothing."""
        one, other = place / self.out, whole / self.out
        if one.is_dir():
            return difference(one, other)
        if self.is_left(place):
            return "OUT.part is left"
        return "" if _rows(one) == _rows(other) else f"other rows in {one.name}"


def _rows(path: Path) -> object:
    if path.suffix != ".parquet":
        return path.read_bytes()
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def _fit(*more: object) -> Callable[[Path], tuple[object, ...]]:
    def arguments(place: Path) -> tuple[object, ...]:
        return ("fit", "digits", *TWO, "--limit", 100, *more, "--out", place / "out")

    return arguments


def _compare(place: Path) -> tuple[object, ...]:
    asked = ("--strategies", "cross-skip", "ladder", "--baselines", "probe", "finetune")
    size = ("--limits", 100, "--seeds", 1, "--epochs", 3)
    return ("compare", "digits", *TWO, *asked, *size, "--out", place / "out")


def _search(place: Path) -> tuple[object, ...]:
    bound = ("--limit", 100, "--minutes", 1000, "--trials", 4)
    return ("search", "digits", *TWO, *bound, "--out", place / "out")


def _predict(format: str) -> Work:
    name = f"out.{format}"

    def arguments(place: Path) -> tuple[object, ...]:
        folder = next(one for one in place.parents if (one / "pictures").is_dir()) / "pictures"
        how = ("--batch-size", ROWS, "--engine", "torch", "--trust-python")
        return ("predict", folder / "run", folder / "images", *how, "--out", place / name)

    return Work(f"predict {format}", arguments, name, "kill_work:commit_often")


FITS = (
    Work("fit lp-ft", _fit("--freeze", "lp-ft", "--epochs", 4)),
    Work("fit heads-only", _fit("--freeze", "heads-only", "--epochs", 3, "--baselines",
                                "--logger", "csv")),
)  # fmt: skip
COMPARE = Work("compare", _compare)
SEARCH = Work("search", _search)
PREDICT = tuple(map(_predict, ("csv", "jsonl", "json", "parquet")))


def commit_often(command: Command) -> None:
    """In the killed process: a prediction puts its rows on the disk after every few of them."""
    from convgraft.predict import resume

    resume.COMMIT_ROWS = ROWS


def prepare_pictures(folder: Path) -> None:
    """Pictures of digits in `folder/images`, and a run that knows their classes in `folder/run`."""
    import convgraft as cg

    (folder / "images").mkdir(parents=True)
    digits = cg.open_images("digits")
    for number in range(PICTURES):
        pixels = np.asarray(digits.raw(number))
        Image.fromarray(pixels).save(folder / "images" / f"{number:03}.png")
    sources = {"a": cg.source(NETWORK)}
    heads = (head("label", "linear", "a:features", classes=len(digits.classes)),)
    plan = cg.Plan(16, (cg.SourceRef("a", NETWORK),), heads=heads)
    cg.save(folder / "run", cg.compile(plan, sources), labels=digits.classes, metrics={})
