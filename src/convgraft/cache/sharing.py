"""Ranks that fill one store together, and which of them see the same one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Together(Protocol):
    """Several processes that do the same work at the same time, each its share of it."""

    @property
    def rank(self) -> int:
        """Of this one, from 0."""
        ...

    @property
    def world(self) -> int:
        """How many there are."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """What all of them gave, in their order; it waits for all."""
        ...

    def each(self, work: Callable[[], T], alike: tuple[type[Exception], ...] = ()) -> T:
        """What this one's work gives, when all are done; raises on all where one has failed."""
        ...


@dataclass(frozen=True)
class Sharers:
    """Those ranks that see the same folder.

    Attributes:
        place: of this rank among them.
        count: how many they are.
    """

    place: int
    count: int

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This rank's part of what is to be done there."""
        return rows[self.place :: self.count]


def sharers_of(folder: Path, together: Together) -> Sharers:
    """Which of the ranks see this rank's folder; every one leaves a mark there and looks for all.

    Where marks are seen late, as on some network disks, ranks do work twice, and nothing else.
    """
    token = together.gather(uuid4().hex)[0]
    marks = [folder / f".rank-{token}-{rank}" for rank in range(together.world)]
    own = marks[together.rank]
    with suppress(OSError):  # a disk that takes no file is told of where rows are written
        folder.mkdir(parents=True, exist_ok=True)
        own.touch()
    together.gather(None)
    seen = [rank for rank, mark in enumerate(marks) if mark.exists() or rank == together.rank]
    told = together.gather(seen)
    with suppress(OSError):
        own.unlink(missing_ok=True)
    alike = [rank for rank in range(together.world) if told[rank] == seen]
    return Sharers(alike.index(together.rank), len(alike))
