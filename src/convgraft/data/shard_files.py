"""Which files a location stands for: a folder, one file, a brace pattern, here or at a URL."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from convgraft.data.braces import expanded, has_braces
from convgraft.data.imageset import PART_NAMES
from convgraft.data.near import Near
from convgraft.data.remote import listed, remote_file
from convgraft.data.urls import is_url
from convgraft.data.walk import subfolders, visible
from convgraft.errors import DataError

TAR, PARQUET = ".tar", ".parquet"
PACKED = re.compile(r"\.(tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz)$", re.IGNORECASE)
ASKED = 8  # servers' answers that are waited for at the same time


def local_files(location: str, path: Path) -> tuple[Near, ...]:
    """The tar shards that a path of this machine stands for, sorted; none: another kind of set.

    A folder holds shards where it has `.tar` files and no folders, or nothing but `train`, `val`
    and `test` with `.tar` files in them.

    Raises:
        DataError: a shard is compressed.
    """
    if path.is_file():
        _check_packed(location, [path])
        return (Near(path.name, path),) if path.suffix.lower() == TAR else ()
    folders = subfolders(path)
    if not folders:
        return tuple(Near(one.name, one, part_in(one.name)) for one in _tars(location, path))
    if any(folder.name.lower() not in PART_NAMES for folder in folders):
        return ()
    return tuple(
        Near(f"{folder.name}/{one.name}", one, PART_NAMES[folder.name.lower()])
        for folder in folders
        for one in _tars(location, folder)
    )


def pattern_files(pattern: str) -> tuple[Near, ...]:
    """The files of this machine that a brace pattern stands for.

    Raises:
        DataError: one of them is not there, or they are of several kinds.
    """
    paths = [Path(name).expanduser() for name in expanded(pattern)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{pattern} names {len(missing)} files that are not there",
            expected=f"all {len(paths)} files",
            found=", ".join(f"no {path}" for path in missing[:3]),
        )
    names = _distinct([path.as_posix() for path in paths])
    files = [Near(n, p, part_in(p.name)) for n, p in zip(names, paths, strict=True)]
    check_one_kind(pattern, files)
    return tuple(files)


def remote_files(url: str) -> tuple[Near, ...]:
    """The shards, or Parquet files, that a URL, a pattern or a folder at a URL stands for.

    Raises:
        DataError: there are none, or they are of several kinds.
        RunError: the server cannot be reached.
        UsageError: the library for it is not installed.
    """
    urls = expanded(url) if has_braces(url) else (url,)
    if len(urls) == 1 and suffix_of(url) not in (TAR, PARQUET):
        _check_packed(url, [Path(_path(url))])
        urls = tuple(one for one in listed(url) if suffix_of(one) in (TAR, PARQUET))
        if not urls:
            raise DataError(
                f"there are no shards at {url}",
                expected=".tar or .parquet files there, or a pattern such as "
                f"{url.rstrip('/')}/train-{{000..099}}.tar",
            )
    with ThreadPoolExecutor(ASKED, thread_name_prefix="ask") as pool:
        found = list(pool.map(remote_file, urls))
    names = _distinct([_path(one) for one in urls])
    files = [
        Near(name, one.path, part_in(one.name), one) for name, one in zip(names, found, strict=True)
    ]
    check_one_kind(url, files)
    return tuple(files)


def check_one_kind(location: str, files: Sequence[Near]) -> None:
    """Raise `DataError` unless all files are `.tar`, or all `.parquet`."""
    _check_packed(location, [file.path for file in files])
    kinds = Counter(file.path.suffix.lower() for file in files)
    if len(kinds) != 1 or not set(kinds) <= {TAR, PARQUET}:
        raise DataError(
            f"{location} is no set of shards",
            expected="files that are all .tar, or all .parquet",
            found=", ".join(f"{count} x {kind or 'no suffix'}" for kind, count in kinds.items()),
        )


def part_in(name: str) -> str | None:
    """The part that the first word of a name says: `train-000.tar` is of `train`.

    >>> part_in("valid_3.tar"), part_in("cifar-000.tar")
    ('val', None)
    """
    return PART_NAMES.get(re.split(r"[-_.\d]", name.lower())[0])


def suffix_of(location: str) -> str:
    """The suffix of a path or of the path in a URL, in small letters."""
    return PurePosixPath(_path(location)).suffix.lower()


def _path(location: str) -> str:
    return unquote(urlsplit(location).path) if is_url(location) else location


def _tars(location: str, folder: Path) -> list[Path]:
    files = [path for path in visible(folder) if path.is_file()]
    tars = [path for path in files if path.suffix.lower() == TAR]
    _check_packed(location, files)
    return tars


def _check_packed(location: str, files: Sequence[Path]) -> None:
    packed = [path.name for path in files if PACKED.search(path.name)]
    if packed:
        raise DataError(
            f"{location} has compressed shards",
            expected="plain .tar files, of which one image can be read without all before it",
            found=", ".join(packed[:3]),
            hint="unpack them once (gunzip FILE.tar.gz); images are compressed already",
        )


def _distinct(paths: Sequence[str]) -> list[str]:
    """Last parts of paths, and as many parts before them as tell them apart."""
    parts = [PurePosixPath(path).parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    twice = next(path for path in paths if paths.count(path) > 1)
    raise DataError(f"the shard {twice} is named twice", expected="every shard once")
