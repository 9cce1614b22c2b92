"""Brace patterns, as in `cifar-{000..049}.tar`: what shells and WebDataset make of them."""

from __future__ import annotations

import re

from convgraft.errors import DataError

MOST = 10**6  # names that one pattern may stand for
BRACES = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}|\{([^{}]*,[^{}]*)\}")


def has_braces(text: str) -> bool:
    """Whether a text is a pattern."""
    return BRACES.search(text) is not None


def expanded(pattern: str) -> tuple[str, ...]:
    """The names that a pattern stands for, in order; a text without braces is one name.

    Raises:
        DataError: there would be more than a million.

    >>> expanded("a-{08..10}.tar")
    ('a-08.tar', 'a-09.tar', 'a-10.tar')
    >>> expanded("{train,val}-{0..1}.tar")
    ('train-0.tar', 'train-1.tar', 'val-0.tar', 'val-1.tar')
    """
    names = [""]
    end = 0
    for found in BRACES.finditer(pattern):
        before, end = pattern[end : found.start()], found.end()
        _check(pattern, len(names), found)
        names = [f"{name}{before}{choice}" for name in names for choice in _choices(found)]
    return tuple(f"{name}{pattern[end:]}" for name in names)


def _choices(found: re.Match[str]) -> list[str]:
    first, last, listed = found.groups()
    if listed is not None:
        return listed.split(",")
    width = len(first) if first.startswith("0") else 1
    return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]


def _check(pattern: str, times: int, found: re.Match[str]) -> None:
    first, last, listed = found.groups()
    sane = listed is not None or (len(last) < 16 and int(first) <= int(last))
    count = 0 if not sane else len(listed.split(",")) if listed else int(last) - int(first) + 1
    if not sane or times * count > MOST:
        raise DataError(
            f"the pattern {pattern} cannot be used",
            expected=f"{{FIRST..LAST}}, and at most {MOST:,} names",
            found=found[0],
        )
