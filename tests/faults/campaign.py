"""What an attack on convgraft is: a campaign tries something many times and says what went wrong.

`make torture` runs every campaign at full size and prints one table; the tests run a small slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Trial:
    """One case that was tried.

    Attributes:
        what: the case in a few words, with what it takes to try it again (a seed, a name).
        wrong: what was broken; empty where the promise held.
    """

    what: str
    wrong: str = ""


@dataclass(frozen=True)
class Campaign:
    """Many trials of one promise.

    Attributes:
        number: of the promise, as in docs/reliability.md.
        name: of the campaign, unique: `torture.py --only NAME`.
        promise: what holds in every case, in one line.
        small: trials in the tests.
        full: trials in `make torture`.
        trials: takes a seed, a number of trials and an empty folder; trial k of a seed is the same
            in a slice of any size. It may take `first=0` too, the number of the trial to begin
            with; only then does an unfinished campaign go on in the middle.
    """

    number: int
    name: str
    promise: str
    small: int
    full: int
    trials: Callable[[int, int, Path], Iterator[Trial]]
