"""The members of a tar shard, by its headers alone; nothing is extracted, whatever names say."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from convgraft.errors import DataError

COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
LONGEST = 2**20  # bytes of a header; a longer one would fill the memory
ONCE = 2**20  # bytes that are looked at together
AGAIN = "download it again, or write it anew; it may be cut short"


@dataclass(frozen=True)
class Member:
    """One entry of a tar file.

    Attributes:
        name: as it stands there; it need not be a safe path, nor text.
        offset, length: where its bytes lie in the file.
        fault: why its bytes cannot be used, as the rest of a sentence; None where they can.
    """

    name: str
    offset: int
    length: int
    fault: str | None = None


def tar_members(file: BinaryIO, name: str) -> Iterator[Member]:
    """All members of a tar but its folders, in order, from one pass over the headers.

    Args:
        file: the tar, open for reading.
        name: of the shard, for errors.

    Raises:
        DataError: it is compressed, no tar, damaged or cut short, also in the last member, or
            something follows its end.
    """
    _check_plain(file, name)
    length = file.seek(0, 2)
    file.seek(0)
    end = 0
    try:
        with tarfile.open(fileobj=_Headers(file, name), mode="r:") as tar:  # type: ignore[arg-type]
            while (found := tar.next()) is not None:
                tar.members.clear()  # else every header of the shard stays in memory
                if found.size < 0 or found.offset_data < end:
                    raise _damaged(name, f"{found.name} claims {found.size} bytes")
                end = found.offset_data
                if not found.isdir():
                    yield Member(found.name, end, found.size, _fault(found))
            end = tar.offset
    except (tarfile.TarError, OSError, ValueError, OverflowError, EOFError) as error:
        raise _damaged(name, str(error) or type(error).__name__) from error
    _check_end(file, name, end, length)


class _Headers:
    """A file that does not give more bytes at once than a header has."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self.seek, self.tell, self.close = file.seek, file.tell, lambda: None

    def read(self, count: int) -> bytes:
        if not 0 <= count <= LONGEST:
            raise _damaged(self.name, f"a header of {count} bytes")
        return self._file.read(count)


def _fault(found: tarfile.TarInfo) -> str | None:
    if found.name.startswith("/") or ".." in found.name.split("/"):
        return "has a name that leads out of its shard"
    if found.issym() or found.islnk():
        return "is a link"
    if found.issparse():
        return "is sparse"
    return None if found.isreg() else "is not an ordinary file"


def _check_plain(file: BinaryIO, name: str) -> None:
    head = file.read(8)
    for magic, (kind, tool) in COMPRESSED.items():
        if head.startswith(magic):
            raise DataError(
                f"{name} is compressed with {kind}",
                expected="a plain tar, of which one image can be read without all before it",
                hint=f"unpack the shard: {tool} {Path(name).name}; images are compressed already",
            )
    if not head:
        raise _damaged(name, "an empty file")


def _check_end(file: BinaryIO, name: str, end: int, length: int) -> None:
    """A tar ends with two blocks of zeros; without them nobody knows what is missing."""
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise _damaged(name, f"no header at byte {end}")
    if length < end + 2 * tarfile.BLOCKSIZE:
        raise _damaged(name, "no end of the archive")
    while chunk := file.read(ONCE):
        if chunk.strip(b"\0"):
            raise DataError(
                f"{name} has something after its end",
                expected="one tar",
                hint="tars that were joined by cat are read up to the end of the first: keep them "
                "apart",
            )


def _damaged(name: str, found: str) -> DataError:
    return DataError(f"{name} is a damaged tar file", found=found, hint=AGAIN)
