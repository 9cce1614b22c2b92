"""A file of a set that lies on this machine, or far away with a copy kept here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convgraft.data.stamps import file_stamp

if TYPE_CHECKING:
    from convgraft.data.remote import RemoteFile


@dataclass(frozen=True)
class Near:
    """One file.

    Attributes:
        name: in ids of images: unique in its set.
        path: where it lies here, or where its copy lies while there is one.
        part: `train`, `val` or `test` where its place says so.
        remote: where it comes from; None: it is a file of this machine.
    """

    name: str
    path: Path
    part: str | None = None
    remote: RemoteFile | None = None

    @property
    def size(self) -> int | None:
        """In bytes; None where a server does not say, or there is no such file."""
        if self.remote is not None:
            return self.remote.size
        try:
            return self.path.stat().st_size
        except OSError:
            return None

    def here(self, told: Callable[[int], None] | None = None) -> Path:
        """The path, once the file is there; of a remote one that may take a download.

        Args:
            told: called with the bytes that have come so far.

        Raises:
            RunError: it cannot be had.
        """
        return self.path if self.remote is None else self.remote.here(told)

    def stamp(self) -> str:
        """Text that changes when the file does; of a remote one what it was when it was opened."""
        if self.remote is not None:
            return self.remote.identity
        return file_stamp(os.path.abspath(self.path))  # noqa: PTH100 (a link stays a link)
