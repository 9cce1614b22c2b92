"""A stranger's text as an error can hold it."""

from __future__ import annotations

import os

LONGEST = 1000
LONGEST_PATH = 4096


def shown(text: str, longest: int = LONGEST) -> str:
    r"""The text cut at a length; what would move a terminal's cursor comes as an escape.

    Line breaks stay: a message may have several lines.

    >>> shown("a\x1b[2J"), shown("abcdef", 4)
    ('a\\x1b[2J', 'abcd...')
    """
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in cut)


def shown_name(path: str) -> str:
    r"""The name of a file on one line; bytes that are no UTF-8 come as `\xNN`.

    >>> shown_name("two\nlines.png"), shown_name("caf\udce9.png")
    ('two\\nlines.png', 'caf\\xe9.png')
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return shown(text, LONGEST_PATH).replace("\n", "\\n")
