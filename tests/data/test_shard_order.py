"""Orders over shards: all rows once, few shards at a time, the same for the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from convgraft.data.seeding import shuffled
from convgraft.data.shard_order import shard_order

LENGTHS = [5, 1, 9, 3, 7, 7, 2, 30, 4, 4]


@pytest.mark.parametrize(("buffer", "most"), [(1, 1), (10, 4), (12, 2), (30, 3), (1000, 16)])
@pytest.mark.parametrize("lengths", [LENGTHS, [1], [4], [1] * 50, [100, 1]])
def test_every_row_comes_once(lengths: list[int], buffer: int, most: int) -> None:
    for epoch in range(3):
        order = shard_order(lengths, 7, epoch, buffer=buffer, most=most)
        assert sorted(order.tolist()) == list(range(sum(lengths)))


def test_few_shards_are_read_at_the_same_time() -> None:
    lengths = [10] * 40
    order = shard_order(lengths, 0, 1, buffer=50, most=16)
    groups = [set((order[start : start + 50] // 10).tolist()) for start in range(0, 400, 50)]
    assert all(len(group) == 5 for group in groups)
    assert set.union(*groups) == set(range(40))
    order = shard_order([1] * 100, 0, 1, buffer=50, most=4)
    shards = shuffled(100, 0, 1, 1)
    assert order.tolist() != shards.tolist()
    for start in range(0, 100, 4):
        assert set(order[start : start + 4]) == set(shards[start : start + 4])


def test_it_depends_on_seed_epoch_lengths_and_buffer() -> None:
    first = shard_order(LENGTHS, 3, 5, buffer=12)
    assert first.tolist() == shard_order(LENGTHS, 3, 5, buffer=12).tolist()
    others = [
        shard_order(LENGTHS, 3, 6, buffer=12),
        shard_order(LENGTHS, 4, 5, buffer=12),
        shard_order(LENGTHS, 3, 5, buffer=20),
        shard_order(LENGTHS[::-1], 3, 5, buffer=12),
    ]
    assert all(other.tolist() != first.tolist() for other in others)


def test_what_fits_the_buffer_is_shuffled_as_one() -> None:
    assert shard_order([3, 4], 1, 2).tolist() == shuffled(7, 1, 2).tolist()
    assert shard_order([9000], 1, 2).tolist() == shuffled(9000, 1, 2).tolist()


def test_groups_of_one_length_are_shuffled_differently() -> None:
    order = shard_order([20] * 30, 0, 0, buffer=20, most=1)
    within = {tuple(order[start : start + 20] % 20) for start in range(0, 600, 20)}
    assert len(within) == 30


def test_neighbours_are_mixed() -> None:
    order = shard_order([500] * 40, 0, 1)
    steps = np.abs(np.diff(order // 500))
    assert (steps > 0).mean() > 0.8
