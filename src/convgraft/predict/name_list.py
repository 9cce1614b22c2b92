"""Names of files from a stream, one after the other, however many there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedIOBase

from convgraft.errors import DataError

CHUNK = 2**16
LONGEST = 2**20  # bytes without a separator; no name of a file comes near


def read_names(stream: BufferedIOBase) -> Iterator[str]:
    """The names in a list, which has a null character after each (`find -print0`) or a line each.

    Which of the two it is, its beginning tells. Names are taken as soon as they have come. Empty
    lines are left out, and so is the carriage return at a line's end.

    Raises DataError where the stream is no list of names.

    >>> from io import BytesIO
    >>> list(read_names(BytesIO(b"a b.png\\n\\nc.png")))
    ['a b.png', 'c.png']
    >>> list(read_names(BytesIO(b"two\\nlines.png\\0c.png\\0")))
    ['two\\nlines.png', 'c.png']
    """
    separator, rest = b"", b""
    while data := stream.read1(CHUNK):
        rest += data
        separator = separator or _separator(rest)
        if separator:
            *whole, rest = rest.split(separator)
            yield from _names(whole, separator)
        if len(rest) > LONGEST:
            raise DataError(
                "standard input is no list of files",
                expected="a name a line, or names with a null character after each",
                found=f"{len(rest)} bytes without either",
            )
    yield from _names([rest], separator)


def _separator(beginning: bytes) -> bytes:
    return next((one for one in (b"\0", b"\n") if one in beginning), b"")


def _names(pieces: list[bytes], separator: bytes) -> Iterator[str]:
    for piece in pieces:
        name = piece if separator == b"\0" else piece.removesuffix(b"\r")
        if name:
            yield os.fsdecode(name)
