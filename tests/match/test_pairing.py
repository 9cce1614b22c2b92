"""Pairing in order: the exact optimum, and no circle of wires."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from convgraft.match import pair_by_shape, pair_in_order, stage_ends
from convgraft.match.fans import pair_fans_in_order
from convgraft.sources import source


def brute_force(scores: list[list[float | None]]) -> float:
    """The best total over every rising pairing, one by one."""
    rows, columns = len(scores), len(scores[0])
    best = 0.0
    for count in range(1, min(rows, columns) + 1):
        for left in itertools.combinations(range(rows), count):
            for right in itertools.combinations(range(columns), count):
                chosen = [scores[i][j] for i, j in zip(left, right, strict=True)]
                if None not in chosen:
                    best = max(best, sum(value for value in chosen if value is not None))
    return best


@pytest.mark.parametrize("seed", range(30))
def test_pairing_is_the_optimum(seed: int) -> None:
    rng = random.Random(seed)
    rows, columns = rng.randint(1, 5), rng.randint(1, 5)
    scores = [
        [None if rng.random() < 0.25 else rng.choice([0.1, 0.5, 1.0, 2.0]) for _ in range(columns)]
        for _ in range(rows)
    ]
    pairs = pair_in_order(scores)
    assert [i for i, _ in pairs] == sorted({i for i, _ in pairs})
    assert [j for _, j in pairs] == sorted({j for _, j in pairs})
    total = sum(scores[i][j] or 0.0 for i, j in pairs)
    assert total == pytest.approx(brute_force(scores))


def is_order_of_fans(pairs: list[tuple[int, int]]) -> bool:
    """Neither index falls, and no pair shares both its row and its column with others."""
    in_order = all(a <= c and b <= d for (a, b), (c, d) in itertools.pairwise(sorted(pairs)))
    rows, columns = Counter(i for i, _ in pairs), Counter(j for _, j in pairs)
    return in_order and all(rows[i] == 1 or columns[j] == 1 for i, j in pairs)


def brute_force_fans(scores: list[list[float | None]]) -> float:
    """The best total over every set of pairs, one by one."""
    cells = [
        (i, j, score)
        for i, row in enumerate(scores)
        for j, score in enumerate(row)
        if score is not None
    ]
    chosen = (c for n in range(len(cells) + 1) for c in itertools.combinations(cells, n))
    return max(sum(s for *_, s in c) for c in chosen if is_order_of_fans([(i, j) for i, j, _ in c]))


@pytest.mark.parametrize("seed", range(25))
def test_pairing_in_fans_is_the_optimum(seed: int) -> None:
    rng = random.Random(seed)
    rows, columns = rng.choice([(1, 6), (5, 1), (2, 5), (3, 3), (3, 4), (4, 3)])
    scores = [
        [None if rng.random() < 0.2 else rng.uniform(-0.3, 1.0) for _ in range(columns)]
        for _ in range(rows)
    ]
    pairs = pair_fans_in_order(scores)
    assert is_order_of_fans(pairs)
    assert len(set(pairs)) == len(pairs)
    total = sum(scores[i][j] or 0.0 for i, j in pairs)
    assert total == pytest.approx(brute_force_fans(scores))


def test_there_may_be_nothing_to_pair() -> None:
    assert pair_fans_in_order([]) == []
    assert pair_fans_in_order([[None, -1.0]]) == []


def test_stages_of_a_cifar_resnet_end_with_its_layers() -> None:
    taps = source("cifar_resnet20").taps(32)
    assert [tap.name for tap in stage_ends(taps)] == ["layer1", "layer2", "layer3"]


def test_equal_shapes_are_paired_exactly() -> None:
    left = stage_ends(source("cifar_resnet20").taps(32))
    right = stage_ends(source("cifar_resnet32").taps(32))
    pairs = pair_by_shape(left, right)
    assert [(a.name, b.name) for a, b in pairs] == [(n, n) for n in ("layer1", "layer2", "layer3")]


def test_near_shapes_are_paired_in_order_of_resolution() -> None:
    left = stage_ends(source("torchvision/squeezenet1_1").taps(100))
    right = stage_ends(source("torchvision/mobilenet_v2").taps(100))
    pairs = pair_by_shape(left, right)
    assert len(pairs) >= 3
    for one, other in pairs:
        assert max(one.shape[1], other.shape[1]) <= 2 * min(one.shape[1], other.shape[1])
