"""Hierarchical networks: what one network puts out is the next one's input.

A network hands on its last map, its features or its class probabilities; an adapter brings them to
the shape of the next one's input, or of another tap of it. `join="add"` with a zero start lets the
next network see its image plus what the one before made of it.
"""

from __future__ import annotations

from itertools import pairwise

from convgraft.plan import Plan, TapRef, Wire
from convgraft.strategies.ingredients import Ingredients

VIA = ("map", "features", "probabilities")


def cascade(given: Ingredients) -> Plan:
    """The plan: a wire from each network to the next; the head reads the last one's features."""
    via = given.options.via
    given.needs(via in VIA, "a network hands on one of three things", ", ".join(VIA), via)
    join = given.options.join or "replace"
    given.needs(
        join != "replace" or given.options.start in ("", "one"),
        "what replaces an input is there from the first step",
        "--start one, or --join add",
        f"--start {given.options.start}",
    )
    start = "one" if join == "replace" else given.options.start or "zero"
    into = given.options.into
    wires = [
        Wire((_handed_on(given, one),), TapRef(other, into), join, _adapter(given), start)
        for one, other in pairwise(given.sources)
    ]
    head = given.dense_head("label", [given.features(list(given.sources)[-1])])
    return Plan(given.image_size, given.refs, tuple(wires), (head,))


def _handed_on(given: Ingredients, name: str) -> TapRef:
    via = given.options.via
    if via == "map":
        return given.last_map(name)
    return given.features(name) if via == "features" else given.logits(name)


def _adapter(given: Ingredients) -> str:
    own = {"map": "conv1x1", "features": "dense", "probabilities": "softmax"}
    return given.options.adapter or own[given.options.via]
