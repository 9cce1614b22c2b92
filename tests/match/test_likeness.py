"""Pairing by likeness: the exact optimum of CKA less cost, allowed pairs alone, and no circle."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from convgraft.compose import compose
from convgraft.match.likeness import (
    COST,
    adapter_share,
    likeness_scores,
    may_pair,
    pair_by_likeness,
)
from convgraft.match.stitches import Stitch, stitches_to_try
from convgraft.sources import Tap
from helpers import head, plan_for, small, wire


def tap(name: str, *shape: int, macs: int = 500, depth: float = 0.5) -> Tap:
    return Tap(name, (), shape, 1.0, depth, "block", macs)


def matching(cka: Tensor, *, left: tuple[Tap, ...] = (), right: tuple[Tap, ...] = ()) -> Any:
    """A matching of those values; taps are maps of 4 channels on 8 x 8 unless given."""
    rows, columns = cka.shape
    return SimpleNamespace(
        left=left or tuple(tap(f"l{i}", 4, 8, 8, macs=10**7) for i in range(rows)),
        right=right or tuple(tap(f"r{j}", 4, 8, 8, macs=10**7) for j in range(columns)),
        cka=cka,
        forward=cka - 0.1,
        backward=cka - 0.2,
    )


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("many_to_one", [False, True])
def test_no_pairing_in_order_is_worth_more(seed: int, many_to_one: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    given = matching(torch.rand(3, 4, generator=generator) - 0.2)
    shares = [[adapter_share(a, b) for b in given.right] for a in given.left]
    worth = {(i, j): float(given.cka[i, j]) - 50 * shares[i][j] for i in range(3) for j in range(4)}
    best = 0.0
    for count in range(1, 6):
        for pairs in itertools.combinations(sorted(worth), count):
            steps = list(itertools.pairwise(pairs))
            if many_to_one:
                fits = all(a <= c and b <= d for (a, b), (c, d) in steps) and all(
                    [i for i, _ in pairs].count(i) == 1 or [j for _, j in pairs].count(j) == 1
                    for i, j in pairs
                )
            else:
                fits = all(a < c and b < d for (a, b), (c, d) in steps)
            if fits:
                best = max(best, sum(worth[pair] for pair in pairs))
    found = pair_by_likeness(given, cost=50, many_to_one=many_to_one)
    assert sum(pair.score for pair in found) == pytest.approx(best)


def test_a_pair_says_its_numbers_and_the_runner_up() -> None:
    given = matching(torch.tensor([[0.9, 0.3], [0.95, 0.8]]))
    first, second = pair_by_likeness(given, names=("a", "b"))
    assert (first.left.name, first.right.name) == ("l0", "r0")
    assert first.cka == pytest.approx(0.9)
    assert first.forward == pytest.approx(0.8)
    assert first.backward == pytest.approx(0.7)
    assert first.score == pytest.approx(0.9 - COST * first.cost)
    assert first.why == "scores best of 2; next is b:r1 (0.30)"
    assert second.why == "b:r0 (0.95) scores more, but goes to a:l0"


def test_it_says_where_order_forbids_more() -> None:
    given = matching(torch.tensor([[0.9, 0.95, 0.0], [0.0, 0.0, 0.0], [0.9, 0.0, 0.0]]))
    (only,) = pair_by_likeness(matching(torch.tensor([[0.5]])))
    assert only.why == "nothing else is allowed for left:l0"
    pairs = pair_by_likeness(given)
    assert [(p.left.name, p.right.name) for p in pairs] == [("l0", "r1")]
    crossed = matching(torch.tensor([[0.5, 0.6], [0.0, 0.5]]))
    assert "but goes to left:l1" in pair_by_likeness(crossed)[0].why
    kept = matching(torch.tensor([[0.5, 0.0, 0.6], [0.0, 0.5, 0.0]]))
    told = pair_by_likeness(kept)[0].why
    assert told == "right:r2 (0.60) scores more, but would cost other pairs more than it wins"


def test_taps_that_are_shared_are_told() -> None:
    given = matching(torch.tensor([[0.9, 0.8, 0.05], [0.05, 0.01, 0.7], [0.01, 0.1, 0.6]]))
    told = {(p.left.name, p.right.name): p.why for p in pair_by_likeness(given, many_to_one=True)}
    assert told == {
        ("l0", "r0"): "shares left:l0 with 1 more; next is right:r2 (0.05)",
        ("l0", "r1"): "shares left:l0 with 1 more; next is right:r2 (0.05)",
        ("l1", "r2"): "shares right:r2 with 1 more; next is right:r0 (0.05)",
        ("l2", "r2"): "shares right:r2 with 1 more; next is right:r1 (0.10)",
    }


def test_what_an_adapter_costs() -> None:
    left, right = tap("l", 4, 8, 8, macs=600, depth=0.5), tap("r", 6, 4, 4, macs=100, depth=0.1)
    assert adapter_share(left, right) == pytest.approx(2 * 4 * 6 * 16 / (1200 + 1000))
    dear = matching(torch.tensor([[0.4]]), left=(left,), right=(right,))
    assert pair_by_likeness(dear, cost=0.5)
    assert not pair_by_likeness(dear, cost=1.2)


def test_one_position_and_distant_grids_are_paired_on_demand_alone() -> None:
    maps, vector = tap("m", 4, 32, 32, macs=10**7), tap("v", 4, macs=10**7)
    far, point = tap("f", 4, 7, 7, macs=10**7), tap("p", 4, 1, 1, macs=10**7)
    assert may_pair(maps, tap("n", 4, 8, 8))
    assert not may_pair(maps, far)
    assert may_pair(maps, far, distant=True)
    assert not may_pair(vector, point)
    assert may_pair(vector, point, one_position=True)
    given = matching(torch.tensor([[0.9, 0.9]]), left=(maps,), right=(far, vector))
    assert not pair_by_likeness(given)
    assert pair_by_likeness(given, distant=True)
    assert likeness_scores(given, distant=True, one_position=True)[0][1] is not None


def test_constant_taps_are_left_out() -> None:
    cka = torch.tensor([[math.nan, 0.5], [math.nan, 0.9]])
    (pair,) = pair_by_likeness(matching(cka))
    assert (pair.left.name, pair.right.name) == ("l1", "r1")


def test_fans_wire_without_a_circle() -> None:
    sources = {"a": small(), "b": small(1)}
    names = [("layer1", "layer1"), ("layer1", "layer2"), ("layer2", "layer3"), ("layer3", "layer3")]
    wires = [
        wire(text)
        for one, other in names
        for text in (f"a:{one} -> b:{other}", f"b:{other} -> a:{one}")
    ]
    compose(plan_for(sources, wires=wires, heads=[head("x", "identity", "a:fc")]), sources)


def test_stitches_at_the_pairs_come_first_and_the_best_of_the_others_then() -> None:
    given = matching(torch.tensor([[0.9, 0.99], [math.nan, 0.8]]))
    given.forward = torch.tensor([[0.6, 0.2], [math.nan, 0.7]])
    given.backward = torch.tensor([[0.65, 0.3], [math.nan, math.nan]])
    pairs = pair_by_likeness(given)
    assert [(p.left.name, p.right.name) for p in pairs] == [("l0", "r0"), ("l1", "r1")]
    at_pairs = [Stitch(0, 0), Stitch(0, 0, True), Stitch(1, 1)]
    assert stitches_to_try(given, pairs, 4) == [*at_pairs, Stitch(0, 1, True)]
    assert stitches_to_try(given, pairs, 99) == [*at_pairs, Stitch(0, 1, True), Stitch(0, 1)]
    assert stitches_to_try(given, pairs, 0) == []


def test_of_many_pairs_stitches_are_spread_over_depth() -> None:
    given = matching(torch.eye(9))
    pairs = pair_by_likeness(given)
    found = stitches_to_try(given, pairs, 6)
    assert [(s.row, s.backward) for s in found] == [
        (0, False), (0, True), (4, False), (4, True), (8, False), (8, True),
    ]  # fmt: skip
