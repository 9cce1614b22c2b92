"""Where the cache lies, and how large it may grow, on this machine and for this user."""

from __future__ import annotations

import os
from pathlib import Path

from convgraft.cache.folder import Cache
from convgraft.data.user_caches import FOLDER, cache_folder, size_in
from convgraft.errors import UsageError

LIMIT = "CONVGRAFT_CACHE_LIMIT"
DEFAULT_LIMIT = 20 * 2**30


def default_cache(*, writing: bool = True) -> Cache:
    """The cache of this user.

    `CONVGRAFT_CACHE` names its folder; by default it is `convgraft` in the user's cache folder.
    `CONVGRAFT_CACHE_LIMIT` bounds its size, such as 20GB, 500MB or 2GiB; by default 20 GiB.

    Raises:
        UsageError: the limit cannot be read, or the folder cannot be written and is to be.
    """
    folder = cache_folder()
    if writing:
        _check_writable(folder)
    return Cache(folder, size_in(LIMIT, DEFAULT_LIMIT))


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
