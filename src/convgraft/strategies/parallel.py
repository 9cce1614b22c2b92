"""Parallel branches: every network reads the image, their features are concatenated into a head."""

from __future__ import annotations

from convgraft.plan import Plan
from convgraft.strategies.ingredients import Ingredients


def parallel(given: Ingredients) -> Plan:
    """The plan: no wires, one head over all features."""
    head = given.dense_head("label", [given.features(name) for name in given.sources])
    return Plan(given.image_size, given.refs, (), (head,))
