"""A split as a small CSV file that says which images it belongs to."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from convgraft.data.imageset import PARTS, ImageSet
from convgraft.data.split import Split
from convgraft.durable.on_disk import put_in_place
from convgraft.errors import DataError

HEAD = re.compile(r"# convgraft split, seed ([0-9]{1,4000}), images ([0-9a-f]{64})")
COLUMNS = ["id", "part"]
# File names need not be valid Unicode; this keeps the odd ones as they are.
ODD_NAMES = "surrogateescape"


def write_split(path: Path, images: ImageSet, split: Split) -> None:
    """Write `id,part` for each image of the split, below a line with seed and fingerprint.

    The file appears whole or not at all; folders above it are made.

    Raises:
        DataError: it cannot be written.
    """
    part_of = {index: part for part in PARTS for index in split.part(part)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".split-") as folder:
            draft = Path(folder) / path.name
            with draft.open("w", encoding="utf-8", errors=ODD_NAMES, newline="") as file:
                file.write(f"# convgraft split, seed {split.seed}, images {images.fingerprint}\n")
                _write_rows(file, ((images.ids[i], part_of[i]) for i in sorted(part_of)))
            put_in_place(draft, path)
    except OSError as error:
        raise DataError(f"cannot write {path}", found=error.strerror) from error


def _write_rows(file: TextIO, rows: Iterable[tuple[str, str]]) -> None:
    plain = csv.writer(file, lineterminator="\n")
    plain.writerow(COLUMNS)
    # Python before 3.13 does not quote a carriage return, and takes it for the end of a line.
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        (quoted if "\r" in row[0] else plain).writerow(row)


def read_split(path: Path, images: ImageSet) -> Split:
    """The split in a file that `write_split` wrote for these images.

    Raises:
        DataError: there is no such file, it is no split, or it belongs to other images.
    """
    try:
        with path.open(encoding="utf-8", errors=ODD_NAMES, newline="") as file:
            head = HEAD.fullmatch(file.readline().rstrip("\r\n"))
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"cannot read the split {path}", found=str(error)) from error
    if head is None or rows[:1] != [COLUMNS]:
        raise DataError(
            f"{path} is not a split",
            expected="a first line with seed and fingerprint, then the columns id,part",
        )
    _check_fingerprint(path, images, head[2])
    part_of = _parts_by_index(path, images, rows[1:])
    train, val, test = (tuple(sorted(i for i, p in part_of.items() if p == q)) for q in PARTS)
    return Split(train, val, test, seed=int(head[1]))


def _check_fingerprint(path: Path, images: ImageSet, found: str) -> None:
    if found != images.fingerprint:
        raise DataError(
            f"{path} belongs to other images than {images.location} holds now",
            expected=f"fingerprint {images.fingerprint[:12]}",
            found=f"fingerprint {found[:12]}",
            hint="files were added, removed or changed; split again, or restore them",
        )


def _parts_by_index(path: Path, images: ImageSet, rows: list[list[str]]) -> dict[int, str]:
    number = {id: index for index, id in enumerate(images.ids)}
    part_of: dict[int, str] = {}
    for line, row in enumerate(rows, start=3):
        index = number.get(row[0]) if len(row) == 2 else None
        if index is None or row[1] not in PARTS or index in part_of:
            raise DataError(
                f"line {line} of {path} does not fit the images of {images.location}",
                expected="the id of one image, once, and train, val or test",
                found=",".join(row),
            )
        part_of[index] = row[1]
    return part_of
