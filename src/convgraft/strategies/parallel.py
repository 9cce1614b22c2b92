"""Parallel branches: every network reads the image, their features are fused into a head.

`fusion` says how: concatenated, summed, averaged, by attention over branches or channels, or by
bilinear pooling.
"""

from __future__ import annotations

from convgraft.plan import Plan
from convgraft.strategies.ingredients import Ingredients


def parallel(given: Ingredients) -> Plan:
    """The plan: no wires, one head over all features."""
    features = [given.features(name) for name in given.sources]
    head = given.dense_head("label", features, fusion=given.options.fusion)
    return Plan(given.image_size, given.refs, (), (head,))
