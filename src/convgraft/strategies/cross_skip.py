"""Transferred fusion learning using skipped networks: two-way adds between matched blocks.

Where two networks' stages end, each adds the other's block output to its own: directly where the
shapes are equal, through a resizing conv block where they are near. Their features are concatenated
into a dense head. `start="one"` adds with full weight from the first step, as the paper draws it;
the default starts every wire at zero, so that pretrained features are not disturbed.

With `pairs="likeness"` and training images at hand, the blocks are paired by what they compute, and
each adapter begins as the least-squares map from one to the other, behind its gate at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from convgraft.errors import UsageError
from convgraft.match import pair_by_shape, stage_ends
from convgraft.plan import Plan, TapRef, Wire
from convgraft.sources import Tap
from convgraft.strategies.ingredients import Ingredients
from convgraft.strategies.likely import LIKENESS, by_likeness, likely_pairs

DIRECTIONS = ("both", "forward", "backward")


def cross_skip(given: Ingredients) -> Plan:
    """The plan; three and more networks are wired each to the next."""
    direction = given.options.direction
    given.needs(
        direction in DIRECTIONS, "wires have a direction", " or ".join(DIRECTIONS), direction
    )
    start = given.options.start or "zero"
    wires: list[Wire] = []
    for left, right in pairwise(given.sources):
        for one, other in _pairs(given, left, right):
            here, there = TapRef(left, one.name), TapRef(right, other.name)
            adapter = given.options.adapter or _adapter(given, one, other)
            if direction != "backward":
                wires.append(Wire((here,), there, "add", adapter, start))
            if direction != "forward":
                wires.append(Wire((there,), here, "add", adapter, start))
    head = given.dense_head("label", [given.features(name) for name in given.sources])
    return Plan(given.image_size, given.refs, tuple(wires), (head,))


def _pairs(given: Ingredients, left: str, right: str) -> Sequence[tuple[Tap, Tap]]:
    if by_likeness(given):
        return [(pair.left, pair.right) for pair in likely_pairs(given, left, right)]
    return pair_by_shape(_blocks(given, left), _blocks(given, right))


def _blocks(given: Ingredients, name: str) -> Sequence[Tap]:
    """The blocks that are joined: the ends of all stages, or those selected."""
    if not given.options.taps:
        return stage_ends(given.surveys[name].taps)
    chosen = [tap for tap in given.selected(name) if tap.is_map]
    if not chosen:
        raise UsageError(f'"{given.options.taps}" selects no map in source "{name}"')
    return chosen


def _adapter(given: Ingredients, one: Tap, other: Tap) -> str:
    if given.options.pairs == LIKENESS:
        return "ridge"
    return "identity" if one.shape == other.shape else "block"
