"""Plans from a matching: the strategies' plans, with the taps chosen by likeness.

Their adapters are `ridge`: solved in closed form before training.
"""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.plan import Head, Plan, TapRef, Wire
from convgraft.sources import Tap
from convgraft.strategies.ingredients import Ingredients

ADAPTER = "ridge"


def matched_cross_skip(given: Ingredients, pairs: Sequence[tuple[Tap, Tap]]) -> Plan:
    """Two-way adds over pairs of taps of the first and of the second network, started at zero.

    The features of both go into a dense head, as of `cross_skip`.
    """
    left, right = given.sources
    wires: list[Wire] = []
    for one, other in pairs:
        here, there = TapRef(left, one.name), TapRef(right, other.name)
        wires.append(Wire((here,), there, "add", ADAPTER, "zero"))
        wires.append(Wire((there,), here, "add", ADAPTER, "zero"))
    head = given.dense_head("label", [given.features(name) for name in given.sources])
    return Plan(given.image_size, given.refs, tuple(wires), (head,))


def matched_stitch(given: Ingredients, here: TapRef, there: TapRef, *, own: bool) -> Plan:
    """The front's value in place of the back's, as of `stitch`.

    Args:
        own: the back's own classifier answers; otherwise a new head on its features.
    """
    wire = Wire((here,), there, "replace", ADAPTER, "one")
    back = there.source
    if own:
        head = Head("label", "identity", (given.logits(back),))
    else:
        head = given.dense_head("label", [given.features(back)])
    return Plan(given.image_size, given.refs, (wire,), (head,))
