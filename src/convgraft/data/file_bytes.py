"""The bytes of one image file, or what is wrong with the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from convgraft.data.broken import BrokenImage

LARGEST = 2**30  # bytes of an encoded image; more is no image, and would fill the memory


def file_bytes(path: str | Path, *, id: str) -> bytes:
    """What stands in an ordinary file.

    Raises:
        BrokenImage: it is not there, may not be read, is a folder, a pipe (which would be waited
            for, perhaps for ever) or a device, or is larger than `LARGEST`.
    """
    try:
        path = Path(path)
        found = path.stat()
        if reason := _unreadable(found, path):
            raise BrokenImage(id, reason)
        return path.read_bytes()
    except OSError as error:
        raise BrokenImage(id, f"cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise BrokenImage(id, "cannot be read (a null character in its name)") from error


def _unreadable(found: os.stat_result, path: Path) -> str | None:
    if stat.S_ISDIR(found.st_mode):
        listed = os.access(path, os.R_OK | os.X_OK)
        return "is a folder" if listed else "is a folder that cannot be listed"
    if not stat.S_ISREG(found.st_mode):
        return "is not an ordinary file"
    return f"is larger than {LARGEST // 2**20} MiB" if found.st_size > LARGEST else None
