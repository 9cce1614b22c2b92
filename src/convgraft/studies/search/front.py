"""From a search's lines to its accuracy-cost front, its choice, and the best single network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]


def worth(line: Line) -> tuple[float, int]:
    """What trials are ordered by: validation top-1, and of equals the fewer MACs."""
    return line["val"], -line["macs"]


def choose(lines: Sequence[Line]) -> Line | None:
    """The best trial on validation, the first among equals; None where there is none."""
    return max(lines, key=worth, default=None)


def best_single(lines: Sequence[Line]) -> Line | None:
    """The best trial that takes one network; None where there is none."""
    return choose([line for line in lines if len(line["networks"]) == 1])


def front(lines: Sequence[Line]) -> list[Line]:
    """The trials that no other one beats in validation top-1 at no more MACs, the cheapest first.

    >>> trials = [{"val": v, "macs": m} for v, m in ((0.8, 2), (0.9, 3), (0.7, 3), (0.9, 4))]
    >>> [line["macs"] for line in front(trials)]
    [2, 3]
    """
    found: list[Line] = []
    for line in sorted(lines, key=lambda one: (one["macs"], -one["val"])):
        if not found or line["val"] > found[-1]["val"]:
            found.append(line)
    return found
