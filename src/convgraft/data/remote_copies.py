"""Copies of remote files: bounded together; the one that was not used for longest goes first.

A copy's time says when it was last used; what it is a copy of is told by its folder alone.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from convgraft.data.shard_index import shards_folder
from convgraft.data.user_caches import size_in
from convgraft.errors import RunError

LIMIT = "CONVGRAFT_SHARDS_LIMIT"
DEFAULT_LIMIT = 20 * 2**30


def mark_used(path: Path) -> bool:
    """Whether a copy is there; it is then the last used one."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def make_room(url: str, needed: int) -> None:
    """Evict copies until `needed` more bytes fit within `CONVGRAFT_SHARDS_LIMIT` and on the disk.

    Raises:
        RunError: they do not fit even then.
        UsageError: the limit cannot be read.
    """
    limit = size_in(LIMIT, DEFAULT_LIMIT)
    folder = shards_folder()
    copies = _copies(folder)
    free = shutil.disk_usage(folder).free
    held = sum(size for _, size, _ in copies)
    if needed > min(limit, free + held):
        raise RunError(
            f"there is no room for {url}",
            expected=f"{needed / 2**20:,.0f} MiB in {folder}",
            found=f"a limit of {limit / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB free",
            hint=f"a larger {LIMIT}, or another folder by CONVGRAFT_CACHE",
        )
    over = max(held + needed - limit, needed - free)
    for _, size, path in sorted(copies):
        if over <= 0:
            return
        with suppress(OSError):
            path.unlink()
        over -= size


def _copies(folder: Path) -> list[tuple[int, int, Path]]:
    """When it was last used, size and path of every copy."""
    found: list[tuple[int, int, Path]] = []
    for path in folder.glob("*/*"):
        with suppress(OSError):  # another process evicted it
            state = path.stat()
            if not path.name.startswith("."):
                found.append((state.st_mtime_ns, state.st_size, path))
    return found
