"""Where a user's caches lie on this machine, and sizes as people write them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from convgraft.errors import UsageError

FOLDER = "CONVGRAFT_CACHE"
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(?:([KMGT])(i?))?B?", re.IGNORECASE)


def cache_folder() -> Path:
    """What `CONVGRAFT_CACHE` names, or `convgraft` in the user's cache folder; it may not exist."""
    named = os.environ.get(FOLDER)
    return Path(named).expanduser() if named else _user_caches() / "convgraft"


def shards_folder() -> Path:
    """Where copies of remote files, and indexes of shards, lie; it may not exist."""
    return cache_folder() / "shards"


def size_in(variable: str, default: int) -> int:
    """The bytes that an environment variable says; raises `UsageError` as `read_size` does."""
    text = os.environ.get(variable)
    return read_size(text, variable) if text else default


def read_size(text: str, said_by: str = "the text") -> int:
    """A size in bytes: K, M, G and T are thousands, Ki, Mi, Gi and Ti are powers of 1024.

    Args:
        said_by: whose text it is, for the error.

    Raises:
        UsageError: it is no size.

    >>> read_size("20GB"), read_size("1.5 KiB")
    (20000000000, 1536)
    """
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f'{said_by} is no size: "{text}"', expected="a size such as 20GB, 500MB or 2GiB"
        )
    number, unit, binary = found.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** (" KMGT".index(unit.upper() if unit else " ")))


def _user_caches() -> Path:
    """By the custom of the operating system."""
    named = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if sys.platform != "darwin" and Path(named).is_absolute():
        return Path(named)
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UsageError("there is no home folder for the cache", hint=f"set {FOLDER}") from error
    if sys.platform == "win32":
        return home / "AppData" / "Local"
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
