"""Files that lie elsewhere, by fsspec; the network is touched only for a URL that somebody typed.

A file is downloaded whole, to a folder of its own in the cache, and read there. The folder is named
by what the file was (URL, size, ETag), so another file at the same URL is another copy.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from convgraft.data.remote_copies import make_room, mark_used
from convgraft.data.shard_index import shards_folder
from convgraft.data.urls import opened, tried
from convgraft.durable.on_disk import put_in_place
from convgraft.errors import DataError, RunError

TELLS = ("ETag", "etag", "Last-Modified", "LastModified", "mtime", "updated", "created", "md5Hash")


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL, as it was when it was asked for.

    Attributes:
        size: in bytes; None where the server does not say.
        identity: text that changes when the file does, as far as the server tells.
    """

    url: str
    size: int | None
    identity: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return unquote(PurePosixPath(urlsplit(self.url).path).name) or "file"

    @property
    def path(self) -> Path:
        """Where its copy lies while there is one."""
        digest = hashlib.sha256(self.identity.encode("utf-8", "surrogateescape")).hexdigest()
        return shards_folder() / digest[:32] / self.name

    def here(self) -> Path:
        """The path of the copy; downloads it where there is none. It may be evicted later.

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
                    self._download(path)
        except OSError as error:
            raise RunError(f"{self.url} cannot be kept here", found=str(error)) from error
        return path

    def _download(self, path: Path) -> None:
        make_room(self.url, self.size or 0)
        part = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            tried(self.url, lambda: self._fetch(part))
            put_in_place(part, path)
        finally:
            part.unlink(missing_ok=True)
        mark_used(path)

    def _fetch(self, part: Path) -> None:
        filesystem, place = opened(self.url)
        filesystem.get_file(place, str(part))
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
    return RemoteFile(url, size, " ".join([url, f"{size} bytes", *told]))


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
