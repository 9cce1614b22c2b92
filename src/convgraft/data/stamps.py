"""A text per file that changes when the file does, for naming what was made of it."""

from __future__ import annotations

import os


def file_stamp(path: str) -> str:
    """The path with the file's size and time of change; a file that is gone says so.

    >>> file_stamp("/no/such/picture.png")
    '/no/such/picture.png is gone'
    """
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path for each of 100,000 files takes longer than this)
    except (OSError, ValueError):  # a path with a null character is a ValueError
        return f"{path} is gone"
    return f"{path} {found.st_size} {found.st_mtime_ns}"
