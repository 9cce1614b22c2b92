"""What lies in a cache folder, whatever else lies there too."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convgraft.cache.index import INDEX, read_index
from convgraft.cache.lock import if_free
from convgraft.cache.row_file import ROWS
from convgraft.cache.writer import USED

OWN_FILES = {INDEX, ROWS, USED, f"{INDEX}.part"}
REMOVED = ".removed-"


@dataclass(frozen=True)
class EntryInfo:
    """An entry as a cache lists it.

    Attributes:
        facts: what the values are; empty for a half entry, of which no index can be read.
        dtype: of `DTYPES`; empty for a half entry.
        shape: of one image's value.
        rows: how many images.
        bytes: all of its files.
        used: when it was last opened through a cache, in seconds since 1970.
        created: the same; for a half entry, when it was last used.
    """

    key: str
    facts: Mapping[str, Any]
    dtype: str
    shape: tuple[int, ...]
    rows: int
    bytes: int
    used: float
    created: float


def list_entries(folder: Path) -> tuple[EntryInfo, ...]:
    """The entries of a cache folder, the one last used first; none where it does not exist."""
    try:
        places = [place for place in folder.iterdir() if not place.name.startswith(".")]
    except OSError:
        return ()
    found = [info for place in places if (info := _describe(place))]
    return tuple(sorted(found, key=lambda info: (-info.used, info.key)))


def _describe(place: Path) -> EntryInfo | None:
    """None for what is no entry, or was deleted meanwhile."""
    try:
        files = {file.name: file.stat() for file in place.iterdir()}
    except OSError:
        return None
    if not files.keys() & {INDEX, ROWS} or not files.keys() <= OWN_FILES:
        return None
    size = sum(state.st_size for state in files.values())
    used = files[USED].st_mtime if USED in files else max(s.st_mtime for s in files.values())
    index = read_index(place) if ROWS in files else None
    if index is None:
        return EntryInfo(place.name, {}, "", (), 0, size, used, used)
    row, rows = index.row, len(index.ids)
    return EntryInfo(place.name, index.facts, row.dtype, row.shape, rows, size, used, index.created)


def mark_used(folder: Path) -> None:
    """An entry, if it is there, is used now. A cache that cannot be written is read as well."""
    with suppress(OSError):
        if (folder / INDEX).exists():
            (folder / USED).touch()


def remove_entry(folder: Path) -> bool:
    """Delete an entry unless somebody is writing it; says whether it is gone.

    Who has it open goes on reading (on Windows it then stays).
    """
    with if_free(folder) as free:
        if not free:
            return False
        grave = folder.with_name(f"{REMOVED}{uuid.uuid4().hex}")
        try:
            # in one step, so that nobody meets half of it
            folder.rename(grave)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        shutil.rmtree(grave, ignore_errors=True)
        return True


def sweep(folder: Path) -> None:
    """Delete what is left of removals that were killed on the way."""
    for grave in folder.glob(f"{REMOVED}*"):
        shutil.rmtree(grave, ignore_errors=True)
