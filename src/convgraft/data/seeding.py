"""Random numbers from a few whole numbers, the same on every platform and NumPy version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convgraft.errors import DataError


def shuffled(count: int, *numbers: int) -> NDArray[np.int64]:
    """0..count-1 in an order that depends on `numbers` alone.

    Raw output of the generator is sorted, because NumPy promises to keep that stream and not the
    results of `Generator.permutation`.

    Raises:
        DataError: a number is negative.

    >>> sorted(shuffled(3, 7).tolist())
    [0, 1, 2]
    """
    keys = np.random.PCG64(_sequence(numbers)).random_raw(count)
    return np.argsort(keys, kind="stable").astype(np.int64)


def derived_seed(*numbers: int) -> int:
    """A seed in 0..2^63-1 for torch, from whole numbers of 0 or more."""
    return int(_sequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def check_seed(seed: int) -> None:
    """Raise `DataError` for a negative seed."""
    if seed < 0:
        raise DataError(f"the seed {seed} is negative", expected="a whole number of 0 or more")


def _sequence(numbers: tuple[int, ...]) -> np.random.SeedSequence:
    for number in numbers:
        check_seed(number)
    return np.random.SeedSequence(numbers)
