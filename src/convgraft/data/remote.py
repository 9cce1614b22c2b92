"""Files that lie elsewhere, by fsspec; the network is touched only for a URL that somebody typed.

A file is downloaded whole, to a folder of its own in the cache, and read there. The folder is named
by what the file was (URL, size, ETag), so another file at the same URL is another copy.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from convgraft.data.remote_copies import make_room, mark_used
from convgraft.data.urls import opened, tried
from convgraft.data.user_caches import shards_folder
from convgraft.durable.on_disk import put_in_place
from convgraft.errors import DataError, RunError

TELLS = ("ETag", "etag", "Last-Modified", "LastModified", "mtime", "updated", "created", "md5Hash")


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL, as it was when it was asked for.

    Attributes:
        size: in bytes; None where the server does not say.
        identity: text that changes when the file does, as far as the server tells.
        in_parts: whether the server may give parts of it, and nothing says that it does not.
    """

    url: str
    size: int | None
    identity: str
    in_parts: bool = False

    @property
    def name(self) -> str:
        """The last part of its path."""
        return unquote(PurePosixPath(urlsplit(self.url).path).name) or "file"

    @property
    def path(self) -> Path:
        """Where its copy lies while there is one."""
        digest = hashlib.sha256(self.identity.encode("utf-8", "surrogateescape")).hexdigest()
        return shards_folder() / digest[:32] / self.name

    @property
    def is_here(self) -> bool:
        """Whether there is a copy; it is then the last used one."""
        return mark_used(self.path)

    def here(self, told: Callable[[int], None] | None = None) -> Path:
        """The path of the copy; downloads it where there is none. It may be evicted later.

        Args:
            told: called with the bytes that have come so far.

        Raises:
            RunError: it cannot be had, or does not fit.
        """
        path = self.path
        if mark_used(path):
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.parent.with_suffix(".lock")):
                if not mark_used(path):
                    self._download(path, told)
        except OSError as error:
            raise RunError(f"{self.url} cannot be kept here", found=str(error)) from error
        return path

    @contextmanager
    def parts(self) -> Iterator[BinaryIO]:
        """The file as it lies there: what is read of it is fetched, and no more.

        Raises what the file system does; ValueError where a server gives no parts.
        """
        filesystem, place = opened(self.url)
        known = {"size": self.size} if self.url.startswith("http") else {}
        with filesystem.open(place, "rb", cache_type="none", **known) as file:
            yield file

    def _download(self, path: Path, told: Callable[[int], None] | None) -> None:
        make_room(self.url, self.size or 0)
        part = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            tried(self.url, lambda: self._fetch(part, told))
            put_in_place(part, path)
        finally:
            part.unlink(missing_ok=True)
        mark_used(path)

    def _fetch(self, part: Path, told: Callable[[int], None] | None) -> None:
        filesystem, place = opened(self.url)
        from fsspec.callbacks import Callback

        hooks = {"told": lambda size, value: told(value)} if told else {}
        filesystem.get_file(place, str(part), callback=Callback(hooks=hooks))
        got = part.stat().st_size
        if self.size is not None and got != self.size:
            raise OSError(f"the download ended at {got:,} of {self.size:,} bytes")


def remote_file(url: str) -> RemoteFile:
    """What the server says of a file now.

    Raises:
        UsageError: the library that reads such URLs is not installed.
        DataError: there is no such file.
        RunError: the server cannot be reached.
    """

    def ask() -> dict[str, Any]:
        filesystem, place = opened(url)
        return filesystem.info(place)

    info = tried(url, ask)
    if info.get("type") == "directory":
        raise DataError(f"{url} is a folder", expected="a file")
    size = info.get("size")
    told = [f"{key} {info[key]}" for key in TELLS if info.get(key)]
    in_parts = bool(size) and bool(info.get("partial", True))
    return RemoteFile(url, size, " ".join([url, f"{size} bytes", *told]), in_parts)


def listed(url: str) -> tuple[str, ...]:
    """The URLs of the files directly below a folder, sorted; raises as `remote_file` does."""

    def ask() -> list[str]:
        filesystem, place = opened(url)
        found = filesystem.ls(place, detail=True)
        files = [one["name"] for one in found if one["type"] == "file"]
        return [filesystem.unstrip_protocol(name) for name in files]

    return tuple(sorted(tried(url, ask)))


def text_at(url: str) -> str | None:
    """The text of a small file; None where there is none."""

    def ask() -> bytes | None:
        filesystem, place = opened(url)
        try:
            return filesystem.cat_file(place)
        except FileNotFoundError:
            return None

    found = tried(url, ask)
    return None if found is None else found.decode("utf-8", "replace")
