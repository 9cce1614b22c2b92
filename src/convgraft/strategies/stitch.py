"""Stitching: the front of one network, an adapter, the back of another one.

The value at a tap of the second network is replaced by the adapted value at a tap of the first;
what neither end needs any more is pruned away (Lenc and Vedaldi 2015; Bansal et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

from convgraft.errors import UsageError
from convgraft.match import Pairing, pair_by_shape, stage_ends
from convgraft.plan import Head, Plan, TapRef, Wire
from convgraft.strategies.ingredients import Ingredients
from convgraft.strategies.likely import LIKENESS, by_likeness, likely_pairs

SOLVED = (
    "conv1x1",
    "residual",
    "residual3x3",
    "ridge",
    "ridge3x3",
)  # adapters that least squares can fill in
WIDEST = 512  # channels whose 3x3 patches are solved for by default
INNER = (0.25, 0.75)  # depths between which a stitch is taken by likeness


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
    adapter = given.options.adapter or _adapter(given, here)
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


def _adapter(given: Ingredients, here: TapRef) -> str:
    """Patches where least squares over them take minutes at most, else single positions."""
    tap = given.surveys[here.source].tap(here.tap)
    return "residual3x3" if tap.shape[0] <= WIDEST else "residual"


def _ends(given: Ingredients, front: str, back: str) -> tuple[TapRef, TapRef]:
    if given.options.at:
        given.needs(
            given.options.pairs != LIKENESS,
            "a cut is either given or found by likeness",
            f"--at or --pairs {LIKENESS}",
            "both",
        )
        here, colon, there = given.options.at.partition(":")
        return TapRef(front, here), TapRef(back, there if colon else here)
    if by_likeness(given):
        pair = _inner(likely_pairs(given, front, back))
        return TapRef(front, pair.left.name), TapRef(back, pair.right.name)
    ends = [stage_ends(given.surveys[name].taps) for name in (front, back)]
    pairs = pair_by_shape(*ends)
    if not pairs:
        raise UsageError("the networks have no maps of near shapes", hint="--at TAP:TAP")
    one, other = pairs[len(pairs) // 2]
    return TapRef(front, one.name), TapRef(back, other.name)


def _inner(pairs: Sequence[Pairing]) -> Pairing:
    """The likest pair among those in the middle of both networks, where both take part."""
    depths = [(pair.left.depth, pair.right.depth) for pair in pairs]
    inner = [
        pair
        for pair, both in zip(pairs, depths, strict=True)
        if all(INNER[0] <= depth <= INNER[1] for depth in both)
    ]
    return max(inner or pairs, key=lambda pair: pair.cka)
