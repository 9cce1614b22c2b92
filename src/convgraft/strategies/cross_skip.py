"""Transferred fusion learning using skipped networks: two-way adds between matched blocks.

Where two networks' stages end, each adds the other's block output to its own: directly where the
shapes are equal, through a resizing conv block where they are near. Their features are concatenated
into a dense head. `start="one"` adds with full weight from the first step, as the paper draws it;
the default starts every wire at zero, so that pretrained features are not disturbed.
"""

from __future__ import annotations

from itertools import pairwise

from convgraft.match import pair_by_shape, stage_ends
from convgraft.plan import Plan, TapRef, Wire
from convgraft.sources import Tap
from convgraft.strategies.ingredients import Ingredients


def cross_skip(given: Ingredients) -> Plan:
    """The plan; three and more networks are wired each to the next."""
    wires: list[Wire] = []
    for left, right in pairwise(given.sources):
        ends = [stage_ends(given.surveys[name].taps) for name in (left, right)]
        for one, other in pair_by_shape(*ends):
            here, there = TapRef(left, one.name), TapRef(right, other.name)
            adapter = _adapter(one, other)
            wires.append(Wire((here,), there, "add", adapter, given.options.start))
            wires.append(Wire((there,), here, "add", adapter, given.options.start))
    head = given.dense_head("label", [given.features(name) for name in given.sources])
    return Plan(given.image_size, given.refs, tuple(wires), (head,))


def _adapter(one: Tap, other: Tap) -> str:
    return "identity" if one.shape == other.shape else "block"
