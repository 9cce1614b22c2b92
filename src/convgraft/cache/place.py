"""Where the cache lies, and how large it may grow, on this machine and for this user."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from convgraft.cache.folder import Cache
from convgraft.errors import UsageError

FOLDER = "CONVGRAFT_CACHE"
LIMIT = "CONVGRAFT_CACHE_LIMIT"
DEFAULT_LIMIT = 20 * 2**30
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(?:([KMGT])(i?))?B?", re.IGNORECASE)


def default_cache(*, writing: bool = True) -> Cache:
    """The cache of this user.

    `CONVGRAFT_CACHE` names its folder; by default it is `convgraft` in the user's cache folder.
    `CONVGRAFT_CACHE_LIMIT` bounds its size, such as 20GB, 500MB or 2GiB; by default 20 GiB.

    Raises:
        UsageError: the limit cannot be read, or the folder cannot be written and is to be.
    """
    named = os.environ.get(FOLDER)
    folder = Path(named).expanduser() if named else _user_caches() / "convgraft"
    if writing:
        _check_writable(folder)
    limit = os.environ.get(LIMIT)
    return Cache(folder, read_size(limit) if limit else DEFAULT_LIMIT)


def read_size(text: str) -> int:
    """A size in bytes: K, M, G and T are thousands, Ki, Mi, Gi and Ti are powers of 1024.

    >>> read_size("20GB"), read_size("1.5 KiB")
    (20000000000, 1536)
    """
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f'{LIMIT} is no size: "{text}"', expected="a size such as 20GB, 500MB or 2GiB"
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


def _check_writable(folder: Path) -> None:
    places = (folder, *folder.absolute().parents)
    there = next(place for place in places if place.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    raise UsageError(
        f'the cache folder "{folder}" cannot be written',
        found=f"{there} is " + ("read-only" if there.is_dir() else "a file"),
        hint=f"another folder, by {FOLDER}, or --no-cache",
    )
