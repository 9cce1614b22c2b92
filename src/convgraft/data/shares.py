"""Dividing a whole number among classes as evenly proportional as whole numbers allow."""

from __future__ import annotations

from collections.abc import Sequence


def shares(total: int, counts: Sequence[int]) -> list[int]:
    """`total` divided in proportion to `counts` by largest remainder, at least 1 each.

    Args:
        total: from `len(counts)` to `sum(counts)`.
        counts: what each class has, 1 or more. No class gets more than it has.

    >>> shares(4, [10, 10, 20])
    [1, 1, 2]
    >>> shares(10, [1, 1, 998])
    [1, 1, 8]
    """
    # A class whose proportional share is below 1 gets 1, which leaves less for the others and
    # may push another one below 1, so this repeats until none is.
    single: set[int] = set()
    while True:
        rest = [index for index in range(len(counts)) if index not in single]
        left, weight = total - len(single), sum(counts[index] for index in rest)
        small = {index for index in rest if left * counts[index] < weight}
        if not small:
            break
        single |= small
    given = [1] * len(counts)
    for index, share in zip(rest, _largest_remainder(left, [counts[i] for i in rest]), strict=True):
        given[index] = share
    return given


def _largest_remainder(total: int, counts: Sequence[int]) -> list[int]:
    weight = sum(counts)
    given = [total * count // weight for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: (-(total * counts[i] % weight), i))
    for index in by_remainder[: total - sum(given)]:
        given[index] += 1
    return given
