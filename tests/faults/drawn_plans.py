"""Random legal plans over random small networks."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import networkx as nx
import torch
from interpreted_layers import Weights
from interpreter import Interpreter, Walk
from random_networks import RandomNetwork

from convgraft.layers import ADAPTERS, FUSIONS
from convgraft.layers.votes import VOTE_KINDS
from convgraft.plan import Head, Plan, SourceRef, TapRef, Wire
from convgraft.sources import Source, source

MEANS, DEVIATIONS = (0.45, 0.5, 0.4), (0.2, 0.25, 0.3)
MOST_WIRES, MOST_HEADS = 5, 4


@dataclass(frozen=True, eq=False)
class Drawn:
    """A legal plan, and what it is made of.

    Attributes:
        sources, walks: by name; the second is what the interpreter knows of the first.
    """

    plan: Plan
    sources: Mapping[str, Source]
    walks: Mapping[str, Walk]

    def place(self, ref: TapRef) -> tuple[str, str]:
        """A tap under its own name."""
        return ref.source, self.walks[ref.source].names[ref.tap]

    def shape(self, ref: TapRef) -> tuple[int, ...]:
        """(C, H, W) or (C,) of a tap."""
        return self.walks[ref.source].shapes[self.place(ref)[1]]

    @cached_property
    def taps(self) -> tuple[TapRef, ...]:
        """Every tap, under its own name."""
        return tuple(TapRef(name, tap) for name, walk in self.walks.items() for tap in walk.shapes)

    def needs(self, wires: Sequence[Wire]) -> nx.DiGraph:
        """What is computed from what, with those wires: edges from a value to its readers."""
        graph = nx.DiGraph()
        for name, walk in self.walks.items():
            for step in walk.steps.values():
                for tap in step.inputs:
                    kind, _, raw = tap.rpartition(":")
                    read = ("own", name, raw) if kind else ("joined", name, tap)
                    graph.add_edge(read, ("own", name, step.tap))
            graph.add_edges_from((("own", name, t), ("joined", name, t)) for t in walk.shapes)
        for wire in wires:
            for ref in wire.inputs:
                graph.add_edge(("own", *self.place(ref)), ("joined", *self.place(wire.target)))
        return graph


def draw_plan(seed: str) -> Drawn:
    """The legal plan of a seed."""
    given = random.Random(seed)
    size = given.choice((8, 12, 16, 18))
    sources = dict(_sources(given))
    walks = {name: walk_of(one, size) for name, one in sources.items()}
    refs = tuple(_reference(name, one) for name, one in sources.items())
    drawn = Drawn(Plan(size, refs), sources, walks)
    wires: list[Wire] = []
    for _ in range(given.randint(0, MOST_WIRES)):
        wire = propose_wire(given, drawn)
        if is_legal(drawn, wires, wire):
            wires.append(wire)
    heads = tuple(_Heads(given, drawn).draw(given.randint(0, MOST_HEADS)))
    return replace(drawn, plan=replace(drawn.plan, wires=tuple(wires), heads=heads))


def _sources(given: random.Random) -> Iterator[tuple[str, Source]]:
    count = given.choice((2, 2, 2, 3, 3, 4))
    seeds = [given.randrange(10_000) for _ in range(count)]
    twins = given.random() < 0.2
    for number, seed in enumerate(seeds):
        twin = twins and number == 1  # the same network, by the same preprocessing
        ours = random.Random(seeds[0] if twin else seed)
        channels = 1 if ours.random() < 0.15 else 3
        network = RandomNetwork(seeds[0] if twin else seed, channels=channels)
        own = {"mean": MEANS[:channels], "std": DEVIATIONS[:channels]}
        size = 10 if ours.random() < 0.25 else None
        yield "abcd"[number], source(network, size=size, **own)


def _reference(name: str, one: Source) -> SourceRef:
    own = one.preprocessing
    return SourceRef(name, one.spec, one.classes, own.mean, own.std, own.size)


def walk_of(one: Source, size: int) -> Walk:
    """A source as the interpreter sees it, with the shapes that its own steps tell."""
    steps = {step.tap: step for step in one.module.steps()}  # type: ignore[operator]
    names = {"input": "input", "logits": "fc"} | {tap: tap for tap in steps}
    names |= {alias: step.tap for step in steps.values() for alias in step.aliases}
    own = one.preprocessing
    walk = Walk(steps, names, {}, own.mean, own.std, own.size)
    numbers = {f"sources.x.{name}": v for name, v in one.module.state_dict().items()}
    image = torch.zeros(2, 3, size, size)
    alone = Interpreter(Plan(size, ()), {"x": walk}, Weights(numbers, training=False), image)
    shapes = {tap: tuple(alone.own("x", tap).shape[1:]) for tap in ("input", *steps)}
    return replace(walk, shapes=shapes)


def propose_wire(given: random.Random, drawn: Drawn) -> Wire:
    """A wire between known taps with known words, not always a legal one."""
    join = given.choice(("add", "add", "concat", "gate", "replace"))
    count = given.choice((1, 1, 1, 2, 3)) if join in ("add", "concat") else 1
    adapter = given.choice((*ADAPTERS, "identity", "conv1x1"))
    start = given.choice(("zero", "one"))
    if join == "replace":
        start = given.choice(("one", "ridge" if adapter == "conv1x1" else "one"))
    inputs = tuple(_named(given, drawn, given.choice(drawn.taps)) for _ in range(count))
    return Wire(inputs, _named(given, drawn, given.choice(drawn.taps)), join, adapter, start)


def _named(given: random.Random, drawn: Drawn, ref: TapRef) -> TapRef:
    """The tap under one of its names."""
    names = drawn.walks[ref.source].names.items()
    return TapRef(ref.source, given.choice([name for name, tap in names if tap == ref.tap]))


def is_legal(drawn: Drawn, wires: Sequence[Wire], wire: Wire) -> bool:
    """Whether a wire with known words may join those before it."""
    places, target = [drawn.place(ref) for ref in wire.inputs], drawn.place(wire.target)
    known = {
        drawn.place(ref) for one in wires for ref in one.inputs if drawn.place(one.target) == target
    }
    if target in places or known & set(places) or len(set(places)) < len(places):
        return False
    channels = {drawn.shape(ref)[0] for ref in wire.inputs} | {drawn.shape(wire.target)[0]}
    if wire.adapter == "identity" and wire.join != "concat" and len(channels) > 1:
        return False
    return nx.is_directed_acyclic_graph(drawn.needs([*wires, wire]))


@dataclass
class _Heads:
    """Draws heads one after the other, so that later ones can read earlier ones."""

    given: random.Random
    drawn: Drawn
    vectors: dict[TapRef, int] = field(default_factory=dict)

    def draw(self, count: int) -> Iterator[Head]:
        taps = [(ref, self.drawn.shape(ref)) for ref in self.drawn.taps]
        self.vectors = {ref: shape[0] for ref, shape in taps if len(shape) == 1}
        for number in range(count):
            kind = self.given.choice(("linear", "linear", "mlp", "side", "ridge", "pass", "vote"))
            head = getattr(self, f"_{kind}")(f"h{number}", kind)
            width = head.classes or self.vectors.get(head.inputs[0])
            if width and head.kind != "tap":
                self.vectors[TapRef("heads", head.name)] = width
            yield head

    def _linear(self, name: str, kind: str) -> Head:
        inputs = self._inputs()
        fusions = [word for word, row in FUSIONS.items() if row.least <= len(inputs)]
        fusion = self.given.choice(fusions) if kind in ("linear", "mlp") else "concat"
        hidden = tuple(self.given.choices((3, 7), k=self.given.randint(1, 2)))
        dropout = self.given.choice((0.0, 0.2)) if kind != "ridge" else 0.0
        classes = self.given.choice((3, 3, 4))
        return Head(name, kind, inputs, classes, hidden * (kind == "mlp"), dropout, fusion)

    _mlp = _side = _ridge = _linear

    def _inputs(self) -> tuple[TapRef, ...]:
        taps = self.given.choices(self.drawn.taps, k=self.given.choice((1, 1, 2, 3)))
        answers = [ref for ref in self.vectors if ref.source == "heads"]
        if answers and self.given.random() < 0.1:
            return (*taps, self.given.choice(answers))
        return tuple(_named(self.given, self.drawn, ref) for ref in taps)

    def _pass(self, name: str, kind: str) -> Head:
        if self.given.random() < 0.5:
            return Head(name, "tap", (self.given.choice(self.drawn.taps),))
        return Head(name, "identity", (self.given.choice([*self.vectors]),))

    def _vote(self, name: str, kind: str) -> Head:
        width = self.given.choice([*self.vectors.values()])
        alike = [ref for ref, own in self.vectors.items() if own == width]
        inputs = self.given.choices(alike, k=self.given.randint(1, 4))
        classes = self.given.choice((None, width))
        return Head(name, self.given.choice(VOTE_KINDS), tuple(inputs), classes)
