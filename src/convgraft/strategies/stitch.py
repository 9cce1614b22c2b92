"""Stitching: the front of one network, an adapter, the back of another one.

The value at a tap of the second network is replaced by the adapted value at a tap of the first;
what neither end needs any more is pruned away (Lenc and Vedaldi 2015; Bansal et al. 2021).
"""

from __future__ import annotations

from convgraft.errors import UsageError
from convgraft.match import pair_by_shape, stage_ends
from convgraft.plan import Head, Plan, TapRef, Wire
from convgraft.strategies.ingredients import Ingredients

SOLVED = ("conv1x1", "residual")  # adapters that least squares can fill in


def stitch(given: Ingredients) -> Plan:
    """The plan: one `replace` wire; the answer is the second network's, or a new head's."""
    given.needs(
        len(given.sources) == 2,
        "a stitch is between two networks",
        "a front and a back",
        str(len(given.sources)),
    )
    front, back = given.sources
    here, there = _ends(given, front, back)
    adapter = given.options.adapter or "residual"
    start = "ridge" if adapter in SOLVED else "one"
    wire = Wire((here,), there, "replace", adapter, start)
    given.needs(
        given.options.classifier in ("new", "own"),
        "a stitch answers by one of two classifiers",
        "new or own",
        given.options.classifier,
    )
    if given.options.classifier == "own":
        given.needs(
            not given.options.hidden and not given.options.dropout,
            "the back's own classifier is as it is",
            "no --hidden and no --dropout, or --classifier new",
            "--hidden or --dropout",
        )
        head = Head("label", "identity", (given.logits(back),))
    else:
        head = given.dense_head("label", [given.features(back)])
    return Plan(given.image_size, given.refs, (wire,), (head,))


def _ends(given: Ingredients, front: str, back: str) -> tuple[TapRef, TapRef]:
    if given.options.at:
        here, colon, there = given.options.at.partition(":")
        return TapRef(front, here), TapRef(back, there if colon else here)
    ends = [stage_ends(given.surveys[name].taps) for name in (front, back)]
    pairs = pair_by_shape(*ends)
    if not pairs:
        raise UsageError("the networks have no maps of near shapes", hint="--at TAP:TAP")
    one, other = pairs[len(pairs) // 2]
    return TapRef(front, one.name), TapRef(back, other.name)
