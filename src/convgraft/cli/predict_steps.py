"""The steps of `convgraft predict`: check, find files, choose where rows go, answer all."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from convgraft.cli.console import print_json, say
from convgraft.cli.predict_progress import image_progress
from convgraft.cli.predict_rows import NAMED, Printed, Rows, Table, Told
from convgraft.errors import ConvgraftError, DataError, RunError, UsageError
from convgraft.predict.files import STREAM, check_paths, count_names, image_names
from convgraft.predict.pipeline import answer_files
from convgraft.predict.resume import Output, check_place
from convgraft.predict.rows import RowForm
from convgraft.predict.text_forms import TEXT_FORMS
from convgraft.predict.writers import format_of

if TYPE_CHECKING:
    from convgraft.predict.classifier import Classifier


@dataclass(frozen=True)
class Asked:
    """The options about rows, as they were typed."""

    out: Path | None
    format: str | None
    top: int
    probabilities: bool
    overwrite: bool
    json: bool

    def check(self) -> str | None:
        """The format of the rows; None for a table. Raises UsageError for what cannot be."""
        if self.probabilities and not (self.out or self.format or self.json):
            raise UsageError("a table has no room for --probabilities", hint="--out, or --json")
        if self.out is not None:
            check_place(self.out, overwrite=self.overwrite)
            return format_of(self.out, self.format)
        if self.format is None:
            return "json" if self.json else None
        format = format_of(None, self.format)
        if self.json and format != "json":
            raise UsageError(f"--json is another format than --format {format}")
        if format not in TEXT_FORMS:
            raise UsageError(f"--format {format} cannot be printed", hint="--out FILE")
        return format


def choose_rows(asked: Asked, format: str | None, classifier: Classifier, run: str) -> Rows:
    """Where rows go; an output file is claimed for this process."""
    form = RowForm(classifier.labels, asked.top, asked.probabilities)
    if format is None:
        return Table(form, run)
    if asked.out is None:
        return Printed(form, TEXT_FORMS[format])
    about = {
        "network": classifier.digest,
        "labels": list(classifier.labels),
        "image size": classifier.size,
        "engine": classifier.engine,
    }
    return Output(asked.out, format, form, about, overwrite=asked.overwrite)


def find_names(images: Sequence[str]) -> tuple[tuple[str, ...], Iterator[str]]:
    """What was named, checked, and the names of all files, one after the other.

    Raises DataError where something is missing, or there is no image at all.
    """
    paths = check_paths(images)
    stream = cast(BufferedReader, sys.stdin.buffer) if STREAM in paths else None
    names = image_names(paths, stream)
    first = next(names, None)
    if first is None:
        found = "an empty list" if paths == (STREAM,) else ", ".join(paths)
        raise DataError("there are no images there", found=found)
    return paths, chain([first], names)


@dataclass(frozen=True)
class Work:
    """What is to be answered, by what, and how.

    Attributes:
        paths: what was named.
        names: of all files.
    """

    paths: tuple[str, ...]
    names: Iterator[str]
    classifier: Classifier
    workers: int | None = None
    batch: int | None = None
    strict: bool = False


def answer_all(work: Work, rows: Rows, *, json: bool = False) -> None:
    """Answer all files, and say how it went.

    Args:
        json: print that as JSON where rows go to a file.

    Raises RunError where no image could be read.
    """
    began = time.perf_counter()
    told = Told(None if isinstance(rows, Table) else NAMED)
    names = rows.remaining(work.names)
    before = rows.begun.rows if isinstance(rows, Output) else 0
    if before:
        say(f"goes on after {before} images")
    try:
        with image_progress(lambda: count_names(work.paths), before) as report:
            for answers in answer_files(
                names, work.classifier, workers=work.workers, batch=work.batch, strict=work.strict
            ):
                rows.add(answers)
                told.add(answers)
                report(len(answers))
    except (KeyboardInterrupt, ConvgraftError):
        _keep(rows, work)
        raise
    rows.finish()
    told.finish()
    seconds = time.perf_counter() - began
    failed, images = told.failed, told.images
    if isinstance(rows, Output):
        failed, images = rows.done.failed, rows.done.rows
        _say_done(rows, work.classifier.engine, told.images, seconds, json=json)
    if failed == images:
        raise RunError("none of the images could be read", found=f"{failed} broken")


def _keep(rows: Rows, work: Work) -> None:
    """Put what is done on the disk, and say how to go on."""
    if not isinstance(rows, Output):
        return
    rows.stop()
    again = "the same command, and the same list," if STREAM in work.paths else "the same command"
    say(f"{rows.done.rows} images are done: {again} goes on from there")


def _say_done(output: Output, engine: str, fresh: int, seconds: float, *, json: bool) -> None:
    done, speed = output.done, fresh / seconds
    failed = f", {done.failed} could not be read" if done.failed else ""
    say(f"{output.out}: {done.rows} images{failed}; {speed:.0f} images/s by {engine}")
    if json:
        print_json(
            {
                "out": str(output.out),
                "images": done.rows,
                "failed": done.failed,
                "engine": engine,
                "seconds": round(seconds, 3),
                "images_per_second": round(speed, 1),
            }
        )
