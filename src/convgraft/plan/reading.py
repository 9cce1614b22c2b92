"""What stands in a plan as text to the values that a plan can hold; raises ValueError for others.

Only what comes back as itself from a plan's text form is let in.
"""

from __future__ import annotations

import math
import re

MOST = 2**31 - 1
_WORD = re.compile(r'[^\s"\\]+')
_KIND = re.compile(r"\w+")


def count(text: str) -> int:
    """A whole number from 1 to `MOST`."""
    number = int(text)
    if not 1 <= number <= MOST:
        raise ValueError(f"{text} is not from 1 to {MOST}")
    return number


def finite(text: str) -> float:
    """A number that is neither infinite nor no number."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def word(text: str) -> str:
    """A word without spaces, quotes and backslashes."""
    if not _WORD.fullmatch(text):
        raise ValueError(f'"{text}" is not one word')
    return text


def kind(text: str) -> str:
    """A word of letters, digits and _."""
    if not _KIND.fullmatch(text):
        raise ValueError(f'"{text}" is not one word')
    return text
