"""Which seeds a study runs under, as somebody says it."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 10_000
SEEDS = "how many seeds, 1 or more, or which ones: 5:8 or 5,6,7"


def read_seeds(text: str) -> tuple[int, ...]:
    """`3` as the seeds 0, 1 and 2; `5:8` as 5, 6 and 7; `5,9` as these two; raises ValueError."""
    if "," not in text and ":" not in text:
        return some_seeds(f"0:{text}")
    return tuple(dict.fromkeys(seed for one in text.split(",") for seed in some_seeds(one)))


def some_seeds(text: str) -> tuple[int, ...]:
    """`5` as the seed 5, `5:8` as 5, 6 and 7; raises ValueError."""
    first, colon, end = (word.strip() for word in text.partition(":"))
    seeds = range(_number(first), _number(end) if colon else _number(first) + 1)
    if not seeds or seeds[-1] - seeds[0] >= MOST:
        raise ValueError(text)
    return tuple(seeds)


def seeds_data(seeds: Sequence[int]) -> int | list[int]:
    """How many there are where they begin at 0 and none is left out, else which ones."""
    return len(seeds) if list(seeds) == list(range(len(seeds))) else list(seeds)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ValueError(text)
    return int(text)
