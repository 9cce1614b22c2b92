"""Which files to look at: what was named, what lies below folders, what a list on a stream says.

Names are made one after the other. Of all of them never more is in memory than the entries of the
folders that are being gone through.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path

from convgraft.data.walk import is_image
from convgraft.errors import DataError
from convgraft.predict.name_list import read_names

STREAM = "-"


def check_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """What was named, with patterns such as `"holiday/**/*.jpg"` replaced by what they match.

    A name that is there is no pattern, whatever characters it has.

    Raises DataError where something is missing, or the stream is named twice.
    """
    found: list[str] = []
    for path in paths:
        there = path == STREAM or os.path.exists(path)  # noqa: PTH110 (no error for any name)
        found += [path] if there else _matches(path)
    if found.count(STREAM) > 1:
        raise DataError("standard input can be read once", found=f"{STREAM} named twice")
    return tuple(found)


def _matches(pattern: str) -> list[str]:
    found = glob.iglob(pattern, recursive=True) if glob.has_magic(pattern) else ()  # noqa: PTH207
    matches = _once(sorted(path for path in found if not _goes_in_circles(Path(path))))
    if not matches:
        raise DataError(
            f"{pattern} does not exist",
            expected=f"an image file, a folder of them, or {STREAM} for a list on standard input",
        )
    return matches


def _once(matches: Sequence[str]) -> list[str]:
    """Without what lies below a folder that is matched too: that stands for its images already."""
    folders = {Path(path) for path in matches if Path(path).is_dir()}
    return [path for path in matches if folders.isdisjoint(Path(path).parents)]


def _goes_in_circles(path: Path) -> bool:
    """Whether the way there goes through a folder twice, by a link back, as `**` does."""
    through = [folder.resolve() for folder in path.parents]
    return len(set(through)) < len(through)


def image_names(paths: Sequence[str], stream: BufferedIOBase | None = None) -> Iterator[str]:
    """Names of files, in an order that depends on what is there alone.

    Args:
        paths: files, taken whatever their names; folders, for all image files below them, hidden
            ones left out; and `-` for the names on the stream, each for one file.
        stream: where `-` is read from.

    A folder below the ones named that cannot be listed comes as a name itself: reading it says what
    is wrong.

    Raises DataError where a folder that was named cannot be listed.
    """
    for path in paths:
        if path == STREAM and stream is not None:
            yield from read_names(stream)
        elif Path(path).is_dir():
            yield from _below(str(Path(path)), frozenset(), named=True)
        else:
            yield str(Path(path))


def count_names(paths: Sequence[str]) -> int | None:
    """How many names `image_names` gives, for an estimate; None where a stream is among them."""
    if STREAM in paths:
        return None
    return sum(1 for _ in image_names(paths))


def _below(folder: str, above: frozenset[Path], *, named: bool = False) -> Iterator[str]:
    real = Path(folder).resolve()
    if real in above:  # a link back to a folder that holds it
        return
    try:
        entries = _entries(folder)
    except OSError as error:
        if named:
            raise DataError(f"cannot list {folder}", found=error.strerror) from error
        yield folder
        return
    for entry in entries:
        path = f"{folder.rstrip('/')}/{entry}" if folder != "." else entry
        if entry.endswith("/"):
            yield from _below(path.rstrip("/"), above | {real})
        else:
            yield path


def _entries(folder: str) -> list[str]:
    """Names of the visible images, and with a `/` after them of the visible folders, sorted."""
    with os.scandir(folder) as found:
        visible = (entry for entry in found if not entry.name.startswith("."))
        names = (f"{e.name}/" if _is_folder(e) else e.name for e in visible)
        return sorted(name for name in names if name.endswith("/") or is_image(name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False
