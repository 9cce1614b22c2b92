"""What is asked of a few-shot evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from convgraft.errors import UsageError, near_miss
from convgraft.studies.fewshot.heads import HEADS


@dataclass(frozen=True)
class Rules:
    """N-way k-shot episodes, how many, and the heads that learn from them.

    Attributes:
        ways: classes of an episode.
        shots: numbers of support images of each class; every one is evaluated.
        queries: images of each class that are to be recognised.
        seed: of the episodes.
        heads: rows of `HEADS`.

    Raises UsageError for what makes no episode.
    """

    ways: int = 5
    shots: tuple[int, ...] = (1, 5)
    queries: int = 15
    episodes: int = 600
    seed: int = 0
    heads: tuple[str, ...] = tuple(HEADS)

    def __post_init__(self) -> None:
        least = {"ways": (self.ways, 2), "queries": (self.queries, 1)}
        least |= {"episodes": (self.episodes, 2), "seed": (self.seed, 0)}
        for name, (value, smallest) in least.items():
            if value < smallest:
                raise UsageError(
                    f"--{name} is {value}", expected=f"a whole number, {smallest} or more"
                )
        if not self.shots or min(self.shots) < 1:
            raise _no_shots(", ".join(map(str, self.shots)))
        if not self.heads:
            raise UsageError("no head is named", expected=f"of {', '.join(HEADS)}")
        for name in self.heads:
            if name not in HEADS:
                raise UsageError(
                    f'there is no few-shot head called "{name}"',
                    expected=", ".join(HEADS),
                    hint=near_miss(name, HEADS),
                )

    @property
    def images_each(self) -> int:
        """How many images of a class an episode with the most shots takes."""
        return max(self.shots) + self.queries


def read_shots(text: str) -> tuple[int, ...]:
    """Numbers of shots, rising, each once; raises UsageError.

    >>> read_shots("5,1")
    (1, 5)
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise _no_shots(text)
    return tuple(sorted({int(word) for word in words}))


def read_heads(text: str) -> tuple[str, ...]:
    """Names of heads, each once, in the order given.

    >>> read_heads("linear, prototype")
    ('linear', 'prototype')
    """
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _no_shots(found: str) -> UsageError:
    return UsageError(
        "shots are numbers of support images, 1 or more",
        expected="e.g. --shots 1,5",
        found=found or "none",
    )
