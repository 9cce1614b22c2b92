"""Copies of remote files, and indexes of shards: bounded together, the longest unused go first.

A file's time says when it was last used. An index is worth a whole download and is small: as long
as all of them take no more than a share of the bound, copies go first.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from convgraft.data.user_caches import shards_folder, size_in
from convgraft.errors import RunError

LIMIT = "CONVGRAFT_SHARDS_LIMIT"
DEFAULT_LIMIT = 20 * 2**30
INDEX = ".index"
INDEX_SHARE = 0.1  # of the bound, that indexes may take before they go like copies
ABANDONED = 86_400.0  # seconds after which nobody is writing a part any more


@dataclass(frozen=True)
class _Kept:
    """A file that may go: when it was last used (ns since 1970), and its size in bytes."""

    used: int
    size: int
    path: Path


def mark_used(path: Path) -> bool:
    """Whether a file is there; it is then the last used one."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def make_room(what: str, needed: int) -> None:
    """Evict until `needed` more bytes fit within `CONVGRAFT_SHARDS_LIMIT` and on the disk.

    Raises:
        RunError: they do not fit even then.
        UsageError: the limit cannot be read.
    """
    limit = size_in(LIMIT, DEFAULT_LIMIT)
    folder = shards_folder()
    _sweep(folder)
    copies, indexes = list(_files(folder, "*/*")), list(_files(folder, f"*{INDEX}"))
    free = shutil.disk_usage(folder).free
    held = sum(one.size for one in (*copies, *indexes))
    if needed > min(limit, free + held):
        raise RunError(
            f"there is no room for {what}",
            expected=f"{needed / 2**20:,.0f} MiB in {folder}",
            found=f"a limit of {limit / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB free",
            hint=f"a larger {LIMIT}, or another folder by CONVGRAFT_CACHE",
        )
    over = max(held + needed - limit, needed - free)
    for one in _order(copies, indexes, limit):
        if over <= 0:
            return
        with suppress(OSError):
            one.path.unlink()
        over -= one.size


def _order(copies: list[_Kept], indexes: list[_Kept], limit: int) -> list[_Kept]:
    """In which order files go: indexes beyond their share with the copies, by time; then others."""
    room = INDEX_SHARE * limit
    spared: list[_Kept] = []
    for one in sorted(indexes, key=lambda one: one.used, reverse=True):
        room -= one.size
        if room >= 0:
            spared.append(one)
    stay = {one.path for one in spared}
    first = [one for one in (*copies, *indexes) if one.path not in stay]
    return [*sorted(first, key=lambda one: one.used), *reversed(spared)]


def _files(folder: Path, pattern: str) -> Iterator[_Kept]:
    """The files that may go; parts of downloads are their writers'."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process evicted it
            state = path.stat()
            if not path.name.startswith("."):
                yield _Kept(state.st_mtime_ns, state.st_size, path)


def _sweep(folder: Path) -> None:
    """Remove parts of downloads whose process was killed."""
    for path in (*folder.glob("*/.*.part"), *folder.glob(".*.part")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
