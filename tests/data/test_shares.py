import random

import pytest

from convgraft.data.shares import shares


def naive(total: int, counts: list[int]) -> list[int]:
    """Largest remainder by hand, in whole numbers; no class falls below 1 in its examples."""
    given = [total * count // sum(counts) for count in counts]
    remainders = [total * count % sum(counts) for count in counts]
    while sum(given) < total:
        best = remainders.index(max(remainders))
        given[best] += 1
        remainders[best] = -1
    return given


@pytest.mark.parametrize("total", [8, 9, 100, 333, 999])
def test_largest_remainder(total: int):
    counts = [130, 120, 125, 125, 110, 140, 121, 128]
    assert shares(total, counts) == naive(total, counts)


def test_every_class_gets_one():
    assert shares(4, [1000, 1, 1, 1]) == [1, 1, 1, 1]
    assert shares(6, [1000, 1, 1, 1]) == [3, 1, 1, 1]


def test_always_the_total_and_never_more_than_there_is():
    chance = random.Random(0)
    for _ in range(300):
        counts = [chance.choice([1, 2, 3, 10, 500]) for _ in range(chance.randint(1, 8))]
        total = chance.randint(len(counts), sum(counts))
        given = shares(total, counts)
        assert sum(given) == total
        assert all(1 <= share <= count for share, count in zip(given, counts, strict=True))
