"""Lines of arms that failed: they stand among the results, and have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from convgraft.errors import ConvgraftError

FAILED = "failed"
Line = TypeVar("Line", bound=Mapping[str, Any])


def finished(lines: Sequence[Line]) -> list[Line]:
    """The lines that hold a result."""
    return [line for line in lines if FAILED not in line]


def failures(lines: Sequence[Line]) -> list[Line]:
    """For each arm of each cell that has no result, its latest failure."""
    done = {(line["cell"], line["arm"]) for line in finished(lines)}
    latest = {(line["cell"], line["arm"]): line for line in lines if FAILED in line}
    return [line for place, line in latest.items() if place not in done]


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ConvgraftError) else f"{type(error).__name__}: {text}"
