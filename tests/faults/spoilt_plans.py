"""Legal plans spoilt in one or several places, and the words that each place must be told of."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import networkx as nx
from drawn_plans import Drawn

from convgraft.plan import Head, Plan, TapRef, Wire

NOWHERE, NO_SOURCE = "nowhere.at.all", "zz"


@dataclass(frozen=True)
class Spoilt:
    """An illegal plan.

    Attributes:
        expected: for each thing wrong, where it stands (its beginning) and words that are told.
    """

    plan: Plan
    expected: tuple[tuple[str, str], ...] = ()

    def with_wire(self, wire: Wire, words: str) -> Spoilt:
        """One more wire, and what is wrong with it."""
        where = f"wires[{len(self.plan.wires)}]"
        plan = replace(self.plan, wires=(*self.plan.wires, wire))
        return Spoilt(plan, (*self.expected, (where, words)))

    def with_head(self, head: Head, words: str) -> Spoilt:
        """One more head under a name of its own, and what is wrong with it."""
        head = replace(head, name=head.name or f"w{len(self.plan.heads)}")
        plan = replace(self.plan, heads=(*self.plan.heads, head))
        return Spoilt(plan, (*self.expected, (f"heads.{head.name}", words)))


@dataclass(frozen=True)
class Taps:
    """Taps to make mistakes with."""

    any: TapRef
    other: TapRef
    map: TapRef
    vector: TapRef
    wider: TapRef | None


def spoil(given: random.Random, drawn: Drawn, most: int = 4) -> Spoilt:
    """A legal plan with one to `most` mistakes of different kinds."""
    spoilt = Spoilt(drawn.plan)
    for word in given.sample([*MISTAKES], given.randint(1, most)):
        spoilt = MISTAKES[word](spoilt, _taps(given, drawn), drawn)
    return spoilt


def _taps(given: random.Random, drawn: Drawn) -> Taps:
    some, other = given.sample(drawn.taps, 2)
    maps = [ref for ref in drawn.taps if len(drawn.shape(ref)) == 3]
    vectors = [ref for ref in drawn.taps if len(drawn.shape(ref)) == 1]
    wider = [ref for ref in drawn.taps if drawn.shape(ref)[0] != drawn.shape(some)[0]]
    return Taps(
        some, other, given.choice(maps), given.choice(vectors), given.choice(wider or [None])
    )


Mistake = Callable[[Spoilt, Taps, Drawn], Spoilt]


def _wire(words: str, made: Callable[[Taps], Wire]) -> Mistake:
    return lambda spoilt, taps, drawn: spoilt.with_wire(made(taps), words)


def _head(words: str, made: Callable[[Taps], Head]) -> Mistake:
    return lambda spoilt, taps, drawn: spoilt.with_head(made(taps), words)


def _again(spoilt: Spoilt, taps: Taps, drawn: Drawn) -> Spoilt:
    if not drawn.plan.wires:
        return spoilt.with_wire(Wire((), taps.any), "at least one tap")
    return spoilt.with_wire(drawn.plan.wires[0], "does the same already")


def _channels(spoilt: Spoilt, taps: Taps, drawn: Drawn) -> Spoilt:
    if taps.wider is None:
        return spoilt.with_wire(Wire((taps.any,), taps.any), "ends where it starts")
    wire = Wire((taps.wider,), taps.any, adapter="identity")
    return spoilt.with_wire(wire, "number of channels")


def _twice(spoilt: Spoilt, taps: Taps, drawn: Drawn) -> Spoilt:
    name = spoilt.plan.sources[0].name
    plan = replace(spoilt.plan, sources=(*spoilt.plan.sources, spoilt.plan.sources[0]))
    return replace(
        spoilt, plan=plan, expected=(*spoilt.expected, (f"sources.{name}", "two sources"))
    )


MISTAKES: Mapping[str, Mistake] = {
    "source of a wire": _wire("names no source", lambda t: Wire((TapRef(NO_SOURCE, "fc"),), t.any)),
    "target of a wire": _wire("names no source", lambda t: Wire((t.any,), TapRef(NO_SOURCE, "fc"))),
    "tap of a wire": _wire("has no tap", lambda t: Wire((replace(t.any, tap=NOWHERE),), t.other)),
    "target's tap": _wire("has no tap", lambda t: Wire((t.any,), replace(t.other, tap=NOWHERE))),
    "join": _wire("no join called", lambda t: Wire((t.any,), t.other, join="subtract")),
    "adapter": _wire("no adapter called", lambda t: Wire((t.any,), t.other, adapter="conv2x2")),
    "start": _wire("cannot start at", lambda t: Wire((t.any,), t.other, "replace", start="zero")),
    "start of an add": _wire("cannot start at", lambda t: Wire((t.any,), t.other, start="ridge")),
    "gate": _wire("takes one tap", lambda t: Wire((t.any, t.map), t.other, "gate")),
    "circle of one": _wire("ends where it starts", lambda t: Wire((t.any,), t.any)),
    "tap twice": _wire("starts from one tap twice", lambda t: Wire((t.any, t.any), t.other)),
    "no tap": _wire("at least one tap", lambda t: Wire((), t.any)),
    "again": _again,
    "channels": _channels,
    "two sources": _twice,
    "kind": _head("no head called", lambda t: Head("", "quadratic", (t.any,), 3)),
    "no inputs": _head("at least one input", lambda t: Head("", "linear", (), 3)),
    "tap of a head": _head("has no tap", lambda t: Head("", "side", (TapRef("a", NOWHERE),), 3)),
    "no classes": _head("number of classes", lambda t: Head("", "linear", (t.any,))),
    "one class": _head("number of classes", lambda t: Head("", "side", (t.any,), 1)),
    "no hidden": _head("needs widths", lambda t: Head("", "mlp", (t.any,), 3)),
    "hidden": _head("no hidden layers", lambda t: Head("", "linear", (t.any,), 3, (4,))),
    "dropout": _head("share from 0 to 1", lambda t: Head("", "linear", (t.any,), 3, (), 1.5)),
    "dropout nan": _head(
        "share from 0 to 1", lambda t: Head("", "side", (t.any,), 3, (), float("nan"))
    ),
    "ridge": _head("has no dropout", lambda t: Head("", "ridge", (t.any,), 3, (), 0.1)),
    "fusion": _head(
        "no fusion called", lambda t: Head("", "linear", (t.any,), 3, (), 0.0, "product")
    ),
    "fusion of a side": _head(
        "takes no fusion", lambda t: Head("", "side", (t.any,), 3, (), 0.0, "sum")
    ),
    "fusion of one": _head(
        "joins several inputs", lambda t: Head("", "linear", (t.any,), 3, (), 0.0, "bilinear")
    ),
    "vote on a map": _head("takes logits", lambda t: Head("", "average", (t.map,))),
    "vote on two widths": _head(
        "number", lambda t: Head("", "hard", (t.vector,), 1000)
    ),
    "identity of two": _head("takes one input", lambda t: Head("", "identity", (t.any, t.other))),
    "a later head": _head(
        "no head before", lambda t: Head("", "average", (TapRef("heads", "later"),))
    ),
}  # fmt: skip


def circle(given: random.Random, drawn: Drawn) -> Wire | None:
    """A wire that closes a circle with those of the plan; None where there is no room for one."""
    graph = drawn.needs(drawn.plan.wires)
    owners = [ref for ref in drawn.taps if ref.tap != "input"]
    given.shuffle(owners)
    for start in owners:
        for target in given.sample(drawn.taps, len(drawn.taps)):
            if start != target and _feeds(graph, target, start) and _is_new(drawn, start, target):
                return Wire((start,), target, given.choice(("add", "gate")), "conv1x1", "zero")
    return None


def _feeds(graph: nx.DiGraph, target: TapRef, start: TapRef) -> bool:
    return nx.has_path(
        graph, ("joined", target.source, target.tap), ("own", start.source, start.tap)
    )


def _is_new(drawn: Drawn, start: TapRef, target: TapRef) -> bool:
    ends = (start.source, start.tap), (target.source, target.tap)
    known = [(drawn.place(r), drawn.place(w.target)) for w in drawn.plan.wires for r in w.inputs]
    return ends not in known
