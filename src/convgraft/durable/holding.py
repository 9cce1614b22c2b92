"""One process at a time in a folder in which work goes on.

The operating system lets go of the lock when a process dies, however it dies.
"""

from __future__ import annotations

import os
import time
import weakref
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from convgraft.errors import ArtifactError

LOCK = ".lock"
PATIENCE = 6.0  # seconds; processes that load images for one that was killed end in five


class Holding:
    """The right to write in a folder; it ends with this object."""


_held: weakref.WeakValueDictionary[Path, Holding] = weakref.WeakValueDictionary()


def hold(folder: Path) -> Holding:
    """Take a folder, which is there, for this process, which may take it again.

    Raises ArtifactError where another process works in it, or where it cannot be written.
    """
    path = folder.resolve() / LOCK
    if (mine := _held.get(path)) is not None and path.is_file():
        return mine
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise ArtifactError(
            f'another process is at work in "{folder}"',
            found=_holder(path),
            hint="wait until it is done, end it, or another --out",
        ) from error
    except OSError as error:
        raise ArtifactError(
            f'"{folder}" cannot be written', found=error.strerror or str(error)
        ) from error
    with suppress(OSError):
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")
    holding = Holding()
    weakref.finalize(holding, lock.release, force=True)
    _held[path] = holding
    return holding


def _holder(path: Path) -> str | None:
    """Who wrote last that it holds a folder, and since when; None where nobody knows."""
    try:
        number, age = path.read_text(encoding="utf-8").strip(), _age(path)
    except (OSError, UnicodeDecodeError):
        return None
    return f"process {number}, for {age}" if number.isdecimal() else None


def _age(path: Path) -> str:
    """How long ago a file was written, in words; a clock that was set back makes it no time."""
    seconds = max(0.0, time.time() - path.stat().st_mtime)
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
