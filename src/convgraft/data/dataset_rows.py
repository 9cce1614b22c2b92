"""Image sets of the Hugging Face library `datasets`: its objects, or saved to disk.

Rows are read page by page, as Arrow has them; nothing is downloaded, and nothing decoded by the
library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convgraft.data.imageset import (
    PART_NAMES,
    ImageSet,
    check_two_classes,
    fingerprint,
    with_columns,
)
from convgraft.data.layout import Layout
from convgraft.data.pages import Pages
from convgraft.data.parquet import image_column
from convgraft.data.parquet_labels import check_names, chosen_column, column_of
from convgraft.data.parquet_rows import encoded_bytes
from convgraft.data.stamps import file_stamp
from convgraft.errors import DataError, UsageError

PREFIX = "hf:"
OBJECT = "the data set"  # what an object is called that was given instead of a location
PAGE = 256  # rows that are read together
EXPECTED = "a folder that save_to_disk of the library datasets wrote"


@dataclass(frozen=True, eq=False)
class _Piece:
    """One `Dataset`, alone or as a part of a `DatasetDict`."""

    name: str
    part: str | None
    rows: Any


def load_dataset_folder(location: str) -> Any:
    """The `Dataset` or `DatasetDict` at `hf:FOLDER`.

    Raises:
        DataError: there is none.
        UsageError: the library is not installed.
    """
    folder = Path(location.removeprefix(PREFIX)).expanduser()
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise UsageError(
            f"{location} needs datasets, which is not installed",
            hint="pip install convgraft[datasets]",
        ) from error
    if not folder.is_dir():
        raise DataError(f"{location} is no folder", expected=EXPECTED)
    try:
        return load_from_disk(str(folder))
    # a damaged folder: the library has no error of its own for it
    except Exception as error:
        raise DataError(
            f"{location} cannot be read", expected=EXPECTED, found=str(error) or repr(error)
        ) from error


def open_dataset(
    location: str, found: Any, targets: Sequence[str] = (), *, gaps: bool = False
) -> ImageSet:
    """The rows of a `Dataset`, or of all parts of a `DatasetDict`, as one image set.

    Args:
        location: as the user typed it, or a name for an object.
        targets: the label columns asked for, the main one first; none: the only possible one.
        gaps: whether labels may be missing.

    Raises:
        DataError: the parts or columns cannot be told, or labels are wrong, as for Parquet.
    """
    pieces = _pieces(location, found)
    features = pieces[0].rows.features
    schema = features.arrow_schema
    image = image_column(location, schema)
    named = {n: tuple(f.names) for n, f in features.items() if type(f).__name__ == "ClassLabel"}

    def values(name: str) -> Any:
        import pyarrow as pa

        tables = [piece.rows.select_columns([name]).with_format("arrow")[:] for piece in pieces]
        return pa.concat_tables(tables).column(name)

    def count(name: str) -> int:
        return len(named.get(name) or values(name).unique())

    asked = targets[0] if targets else None
    target = chosen_column(location, schema.names, named, image, asked, count)
    check_names(location, schema.names, image, targets[1:])
    main, *others = (
        column_of(location, name, values(name), named.get(name), gaps=gaps)
        for name in (target, *targets[1:])
    )
    for column in (main, *others):
        check_two_classes(f"{location}: the column {column.name}", column.classes)
    ids = tuple(f"{piece.name}#{row}" for piece in pieces for row in range(len(piece.rows)))
    rows = DatasetRows([piece.rows for piece in pieces], image, ids)
    sizes = [(f"{piece.name} {piece.rows._fingerprint}", len(piece.rows)) for piece in pieces]
    parts = tuple(piece.part for piece in pieces for _ in range(len(piece.rows)) if piece.part)
    images = ImageSet(
        location=location,
        kind="datasets",
        target=target,
        classes=main.classes,
        ids=ids,
        labels=main.labels,
        parts=parts or None,
        fingerprint=fingerprint("datasets", target, main.classes, ids, main.labels, sizes),
        source=rows,
        stamps=rows.stamps if all(piece.rows.cache_files for piece in pieces) else None,
        layout=Layout(rows.lengths, rows.fetch),
    )
    return with_columns(images, others)


class DatasetRows:
    """Gives the encoded bytes of the row at an index. Safe to call from several threads."""

    def __init__(self, tables: Sequence[Any], image: str, ids: Sequence[str]) -> None:
        """Nothing is read yet; rows count over all tables."""
        self._tables = [table.select_columns([image]).with_format("arrow") for table in tables]
        self._ids = ids
        self._pages = Pages(self._read)
        self._starts = [
            (number, start)
            for number, table in enumerate(tables)
            for start in range(0, len(table), PAGE)
        ]
        self.lengths = tuple(min(PAGE, len(tables[n]) - start) for n, start in self._starts)
        self._firsts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        files = (file["filename"] for table in tables for file in table.cache_files)
        self._files = tuple(dict.fromkeys(files))
        self._made_by = " ".join(table._fingerprint for table in tables)

    def __call__(self, index: int) -> bytes:
        """The encoded bytes at `index`, counted over all tables.

        Raises:
            BrokenImage: the row has no image.
            OSError: the row has a path, and the file there cannot be read.
        """
        number = int(np.searchsorted(self._firsts, index, side="right")) - 1
        value = self._pages.get(number)[index - int(self._firsts[number])].as_py()
        path = isinstance(value, dict) and value.get("path")
        if path and value.get("bytes") is None:  # the library's own paths are those of this machine
            return Path(path).read_bytes()
        return encoded_bytes(value, None, self._ids[index])

    def fetch(self, now: Sequence[int], then: Sequence[int]) -> None:
        """Keep the pages with these numbers, which are read `now`; `then` is no matter."""
        self._pages.hold(len(now))

    def stamps(self, indices: Sequence[int]) -> list[str]:
        """For each index the files as they are now, what was made of them, and the row."""
        files = " ".join(file_stamp(file) for file in self._files)
        return [f"{files} {self._made_by} row {index}" for index in indices]

    def _read(self, number: int) -> Any:
        table, start = self._starts[number]
        return self._tables[table][start : start + PAGE].column(0)


def _pieces(location: str, found: Any) -> list[_Piece]:
    if not hasattr(found, "items"):
        pieces = [_Piece("rows", None, found)]
    else:
        pieces = [_Piece(name, PART_NAMES.get(name.lower()), one) for name, one in found.items()]
    if not all(hasattr(piece.rows, "features") for piece in pieces):
        raise DataError(
            f"{type(found).__name__} is no set of images",
            expected="a location, or a Dataset or DatasetDict of the library datasets",
        )
    parts = [piece.part for piece in pieces]
    names = ", ".join(piece.name for piece in pieces)
    if len(pieces) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise DataError(
            f"the parts of {location} cannot be told",
            expected="train, and validation or test beside it",
            found=names,
            hint="open one of them: open_images(dataset[NAME])",
        )
    if len(pieces) == 1:
        pieces = [_Piece(pieces[0].name, None, pieces[0].rows)]
    if not sum(len(piece.rows) for piece in pieces):
        raise DataError(f"{location} has no rows", found=names or "no part")
    if any(piece.rows.features != pieces[0].rows.features for piece in pieces):
        raise DataError(f"the parts of {location} have different columns", found=names)
    return pieces
