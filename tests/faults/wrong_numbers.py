"""Numbers gone wrong: training stops with the batch named, and nothing breaks on still values."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import number_fits
import number_solves
from campaign import Campaign, Trial

Try = Callable[[random.Random, Path], Iterator[str]]
TRIES: tuple[Try, ...] = (
    number_fits.loss_at_a_step,
    number_solves.extreme_votes,
    number_fits.huge_rate,
    number_solves.dead_matching,
    number_fits.store_overflow,
    number_solves.dead_adapters,
    number_fits.validation,
    number_solves.still_moments,
    number_fits.small_batches,
    number_solves.infinite_taps,
    number_fits.precision,
    number_solves.dead_heads,
    number_fits.few_labels,
    number_solves.weights_file,
    number_fits.one_colour,
    number_fits.smoothing,
)


def trials(seed: int, count: int, folder: Path, *, first: int = 0) -> Iterator[Trial]:
    """Every kind in turn, each time drawn anew."""
    for number in range(first, count):
        kind, name = TRIES[number % len(TRIES)], f"{seed}:{number}"
        place = folder / str(number)
        place.mkdir(parents=True)
        yield Trial(f"{kind.__name__} {name}", _tried(kind, name, place))


def _tried(kind: Try, name: str, folder: Path) -> str:
    try:
        return "; ".join(kind(random.Random(name), folder))
    except Exception:
        return traceback.format_exc()


CAMPAIGNS = (
    Campaign(
        6,
        "wrong-numbers",
        "numbers that are infinite, none, huge or all alike: a clear stop with the batch named, or "
        "finite weights",
        small=len(TRIES),
        full=320,
        trials=trials,
    ),
)
