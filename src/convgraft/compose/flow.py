"""The values of a combined network and what each is computed from, as a directed graph.

Values are named by tuples:

    ("op", source, node)      a node of a source's own graph
    ("copy", source, node)    a copy of it, for readers outside the source, where the source
                              overwrites the value in place later
    ("adapt", wire, input)    what arrives at a wire's end
    ("join", wire)            a tap's value after that wire
    ("keep", wire)            a copy of that, for heads, where the source overwrites it later
    ("head", head)            an answer

The graph serves twice: a circle in it is a mistake in the plan, and its order is the order in which
the linked network computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
from torch import fx

from convgraft.compose.overwritten import Reads, later_reads
from convgraft.plan import Plan, TapRef, Wire
from convgraft.plan.values import HEADS_OWNER
from convgraft.sources import Graph, Source, Survey
from convgraft.sources.dry_run import needed

Value = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Flow:
    """The values of one plan in one mode.

    Attributes:
        graph: edges from a value to those computed from it; each node has its sort `key`.
        nodes: by source, its needed graph nodes by name, in order.
        reads: by source, which of its nodes read a value that another one has overwritten.
    """

    plan: Plan
    surveys: Mapping[str, Survey]
    training: Mapping[str, bool]
    nodes: Mapping[str, Mapping[str, fx.Node]]
    reads: Mapping[str, Reads]
    graph: nx.DiGraph

    def order(self) -> Iterator[Value]:
        """All values, each after what it is computed from, else source by source in order."""
        return nx.lexicographical_topological_sort(
            self.graph, key=lambda value: self.graph.nodes[value]["key"]
        )

    def node_of(self, ref: TapRef) -> str:
        """The graph node of a tap."""
        survey = self.surveys[ref.source]
        return survey.nodes[self.training[ref.source]][survey.tap(ref.tap).name]

    def mutators(self, source: str, node: str) -> tuple[str, ...]:
        """Nodes of the source that overwrite this one's value later."""
        return self.surveys[source].mutators[self.training[source]].get(node, ())

    def wires_at(self, source: str, node: str) -> list[int]:
        """Wires that arrive at a node, in plan order."""
        return self._arriving.get((source, node), [])

    @cached_property
    def _arriving(self) -> Mapping[tuple[str, str], list[int]]:
        """By source and node, the wires that arrive there."""
        found: dict[tuple[str, str], list[int]] = {}
        for number, wire in enumerate(self.plan.wires):
            found.setdefault((wire.target.source, self.node_of(wire.target)), []).append(number)
        return found

    def raw(self, ref: TapRef) -> Value:
        """What a wire reads at a tap: the network's own value, before joins."""
        node = self.node_of(ref)
        copied = bool(self.mutators(ref.source, node))
        return ("copy" if copied else "op", ref.source, node)

    def own(self, source: str, node: str) -> Value:
        """What the source itself goes on with: the value after all joins."""
        wires = self.wires_at(source, node)
        return ("join", wires[-1]) if wires else ("op", source, node)

    def read(self, source: str, reader: str, argument: str) -> Value:
        """What one of the source's nodes reads of another one."""
        if writer := self.reads[source].get((reader, argument)):
            return "op", source, writer
        return self.own(source, argument)

    def outcome(self, ref: TapRef) -> Value:
        """What a head reads at a tap: the value after all joins, safe from being overwritten."""
        node = self.node_of(ref)
        wires = self.wires_at(ref.source, node)
        if not wires:
            return self.raw(ref)
        return ("keep" if self.mutators(ref.source, node) else "join", wires[-1])


def build_flow(
    plan: Plan,
    sources: Mapping[str, Source],
    surveys: Mapping[str, Survey],
    training: Mapping[str, bool],
) -> Flow:
    """The flow of a plan whose names have been checked; `training` says each source's mode."""
    nodes = {name: _needed_nodes(sources[name].capture.graph(training[name])) for name in sources}
    reads = {
        name: later_reads(sources[name], survey, nodes[name], training=training[name])
        for name, survey in surveys.items()
    }
    flow = Flow(plan, surveys, training, nodes, reads, nx.DiGraph())
    for index, ref in enumerate(plan.sources):
        _add_source(flow, index, ref.name)
    for number, wire in enumerate(plan.wires):
        _add_wire(flow, number, wire)
    for number, head in enumerate(plan.heads):
        _add_value(
            flow, ("head", head.name), (len(plan.sources), number, 0), head_inputs(flow, number)
        )
    return flow


def head_inputs(flow: Flow, number: int) -> list[Value]:
    """The values that a head reads."""
    return [
        ("head", ref.tap) if ref.source == HEADS_OWNER else flow.outcome(ref)
        for ref in flow.plan.heads[number].inputs
    ]


def cycles(
    plan: Plan, sources: Mapping[str, Source], surveys: Mapping[str, Survey]
) -> list[list[Wire]]:
    """Groups of wires that feed each other in a circle."""
    flow = build_flow(plan, sources, surveys, dict.fromkeys(sources, False))
    rings = [part for part in nx.strongly_connected_components(flow.graph) if len(part) > 1]
    joined = [sorted(value[1] for value in ring if value[0] == "join") for ring in rings]
    return [[plan.wires[number] for number in numbers] for numbers in joined]


def _needed_nodes(graph: Graph) -> dict[str, fx.Node]:
    return {node.name: node for node in needed(graph.fx, [graph.output])}


def _add_value(flow: Flow, value: Value, key: tuple[float, ...], inputs: list[Value]) -> None:
    flow.graph.add_node(value, key=key)
    flow.graph.add_edges_from((source, value) for source in inputs)


def _add_source(flow: Flow, index: int, name: str) -> None:
    for position, node in enumerate(flow.nodes[name].values()):
        inputs = [flow.read(name, node.name, value.name) for value in node.all_input_nodes]
        _add_value(flow, ("op", name, node.name), (index, position, 0), inputs)
        writers = flow.mutators(name, node.name)
        if writers:
            copy: Value = ("copy", name, node.name)
            _add_value(flow, copy, (index, position, 0.5), [("op", name, node.name)])
            _before(flow, copy, name, writers)
            _keep_readers_in_order(flow, name, node, writers)


def _before(flow: Flow, value: Value, source: str, writers: tuple[str, ...]) -> None:
    """`value` reads something that `writers` overwrite, so it comes first."""
    flow.graph.add_edges_from((value, ("op", source, writer)) for writer in writers)


def _keep_readers_in_order(
    flow: Flow, source: str, node: fx.Node, writers: tuple[str, ...]
) -> None:
    """Other readers of an overwritten value stay on their side of the writers."""
    names = list(flow.nodes[source])
    for reader in node.users:
        if reader.name not in flow.nodes[source] or reader.name in writers:
            continue
        for writer in writers:
            pair = sorted((reader.name, writer), key=names.index)
            flow.graph.add_edge(("op", source, pair[0]), ("op", source, pair[1]))


def _add_wire(flow: Flow, number: int, wire: Wire) -> None:
    name, node = wire.target.source, flow.node_of(wire.target)
    position = list(flow.nodes[name]).index(node)
    index = [ref.name for ref in flow.plan.sources].index(name)
    for place, ref in enumerate(wire.inputs):
        _add_value(flow, ("adapt", number, place), (index, position, number + 1), [flow.raw(ref)])
    earlier = [other for other in flow.wires_at(name, node) if other < number]
    own: Value = ("join", earlier[-1]) if earlier else ("op", name, node)
    arriving: list[Value] = [("adapt", number, place) for place in range(len(wire.inputs))]
    _add_value(flow, ("join", number), (index, position, number + 1.5), [own, *arriving])
    writers = flow.mutators(name, node)
    if writers:
        _before(flow, ("join", number), name, writers)
        _add_value(flow, ("keep", number), (index, position, number + 1.75), [("join", number)])
        _before(flow, ("keep", number), name, writers)
