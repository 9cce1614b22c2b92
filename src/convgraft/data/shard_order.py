"""The order of an epoch over shards: random enough to train on, and local enough to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from convgraft.data.seeding import shuffled

BUFFER = 4096  # images that are shuffled together
OPEN = 16  # shards, or row groups, that are read from at the same time


def shard_order(
    lengths: Sequence[int], *numbers: int, buffer: int = BUFFER, most: int = OPEN
) -> NDArray[np.int64]:
    """All rows of shards, each once, in an order that depends on these arguments alone.

    Shards come in shuffled order. As many as it takes to have `buffer` rows, and at most `most`,
    are read at the same time, and their rows shuffled together. Where all rows fit into the buffer,
    they are shuffled as one.

    Args:
        lengths: rows of each shard, in order; rows are counted over all shards.
        numbers: seed and epoch, 0 or more.

    >>> shard_order([2, 2, 2], 0, 1, buffer=2).tolist()
    [4, 5, 3, 2, 1, 0]
    """
    total = sum(lengths)
    if len(lengths) == 1 or (total <= buffer and len(lengths) <= most):
        return shuffled(total, *numbers)
    firsts = np.cumsum([0, *lengths])
    pieces = [np.empty(0, np.int64)]
    for number, group in enumerate(_groups(lengths, buffer, most, *numbers)):
        rows = np.concatenate([np.arange(firsts[one], firsts[one + 1]) for one in group])
        # numbers that tell the groups apart begin at 1: a seed sequence takes 0 for none
        pieces.append(rows[shuffled(len(rows), *numbers, 2, number + 1)])
    return np.concatenate(pieces)


def _groups(lengths: Sequence[int], buffer: int, most: int, *numbers: int) -> Iterator[list[int]]:
    """Numbers of the shards that are read at the same time."""
    group: list[int] = []
    for shard in shuffled(len(lengths), *numbers, 1).tolist():
        group.append(shard)
        if len(group) == most or sum(lengths[one] for one in group) >= buffer:
            yield group
            group = []
    if group:
        yield group
