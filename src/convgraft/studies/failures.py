"""Lines of arms that failed: they stand among the results, and have none."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from convgraft.cache.writer import FULL
from convgraft.errors import ConvgraftError

FAILED = "failed"
Line = TypeVar("Line", bound=Mapping[str, Any])


def finished(lines: Sequence[Line]) -> list[Line]:
    """The lines that hold a result, each arm's first one in a cell: twice is no second seed."""
    first: dict[tuple[str, str], Line] = {}
    for line in lines:
        if FAILED not in line:
            first.setdefault((line["cell"], line["arm"]), line)
    return list(first.values())


def failures(lines: Sequence[Line]) -> list[Line]:
    """For each arm of each cell that has no result, its latest failure."""
    done = {(line["cell"], line["arm"]) for line in finished(lines)}
    latest = {(line["cell"], line["arm"]): line for line in lines if FAILED in line}
    return [line for place, line in latest.items() if place not in done]


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ConvgraftError) else f"{type(error).__name__}: {text}"


def is_full_disk(error: BaseException) -> bool:
    """Whether a disk is full, which no other arm mends.

    Libraries that write by themselves, as safetensors does, say it in words only.
    """
    words = os.strerror(errno.ENOSPC)
    return any(
        (isinstance(one, OSError) and one.errno in FULL) or words in str(one)
        for one in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__
