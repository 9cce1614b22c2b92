"""Stage 3, link: one fx graph out of the sources' graphs and the plan's parts.

Targets in the linked graph are module paths of the composite: `preprocess.a`, `sources.a.layer1.0`,
`adapters.a:layer1->b:layer1`, `joins....`, `heads.label`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, fx, nn

from convgraft.compose.flow import Flow, Value, build_flow, head_inputs
from convgraft.compose.prune import prune_graph
from convgraft.compose.resolve import Resolved, build_seeded

IMAGE = "image"


def link_graph(resolved: Resolved, training: Mapping[str, bool]) -> fx.Graph:
    """The combined graph; `training` says for each source which of its two graphs it runs.

    A node that stems from a source has `meta["origin"]`, its (source, node name), and
    `meta["writers"]`, the origins of the nodes that overwrite its value in place. One
    that stems from no module call has `meta["scope"]`, the path of the part that it belongs to.

    Takes `image` [N, 3, S, S], gives a dict of answers, [N, classes] each. Already pruned.
    """
    checked = resolved.checked
    flow = build_flow(checked.plan, checked.sources, checked.surveys, training)
    linker = _Linker(resolved, flow)
    for value in flow.order():
        linker.emit(value)
    linker.finish()
    prune_graph(linker.graph)
    linker.graph.lint()
    return linker.graph


class _Linker:
    """Writes values into one graph, in the flow's order."""

    def __init__(self, resolved: Resolved, flow: Flow) -> None:
        self.resolved, self.flow = resolved, flow
        self.plan = resolved.checked.plan
        self.graph = fx.Graph()
        self.image = self.graph.placeholder(IMAGE)
        self.env: dict[Value, fx.Node] = {}
        self._emitters: dict[str, Callable[..., fx.Node]] = {
            "op": self._op,
            "copy": self._copy,
            "adapt": self._adapt,
            "join": self._join,
            "keep": self._keep,
            "head": self._head,
        }

    def emit(self, value: Value) -> None:
        kind, *rest = value
        self.env[value] = self._emitters[kind](*rest)

    def finish(self) -> None:
        """The dict of answers; without heads, every source's own logits."""
        if self.plan.heads:
            answers = {head.name: self.env["head", head.name] for head in self.plan.heads}
        else:
            answers = {ref.name: self._logits(ref.name) for ref in self.plan.sources}
        self.graph.output(answers)

    def _logits(self, source: str) -> fx.Node:
        capture = self.resolved.checked.sources[source].capture
        output = capture.graph(self.flow.training[source]).output
        return self.env[self.flow.own(source, output.name)]

    def _op(self, source: str, name: str) -> fx.Node:
        node = self.flow.nodes[source][name]
        if node.op == "placeholder":
            copied = self.graph.call_module(f"preprocess.{source}", (self.image,))
        else:
            copied = self.graph.node_copy(
                node, lambda other: self.env[self.flow.read(source, name, other.name)]
            )
        if node.op in ("call_module", "get_attr"):
            copied.target = f"sources.{source}.{node.target}"
        copied.meta["origin"] = (source, name)
        copied.meta["writers"] = [(source, n) for n in self.flow.mutators(source, name)]
        return copied

    def _copy(self, source: str, name: str) -> fx.Node:
        copied = self.graph.call_function(torch.clone, (self.env["op", source, name],))
        copied.meta["scope"] = f"sources.{source}"
        return copied

    def _adapt(self, wire: int, place: int) -> fx.Node:
        value = self.env[self.flow.raw(self.plan.wires[wire].inputs[place])]
        part = self.resolved.adapters[wire][place]
        if self._passes_through(wire, place):
            return value
        return self.graph.call_module(f"adapters.{part.name}", (value,))

    def _passes_through(self, wire: int, place: int) -> bool:
        part = self.resolved.adapters[wire][place]
        return part.kind == "identity" and not part.gated and part.shape_in == part.shape_out

    def _join(self, number: int) -> fx.Node:
        wire, part = self.plan.wires[number], self.resolved.joins[number]
        node = self.flow.node_of(wire.target)
        earlier = [n for n in self.flow.wires_at(wire.target.source, node) if n < number]
        own = self.env["join", earlier[-1]] if earlier else self.env["op", wire.target.source, node]
        arriving = [self.env["adapt", number, place] for place in range(len(wire.inputs))]
        if part.kind == "add":
            for value in arriving:
                own = self.graph.call_function(torch.add, (own, value))
                own.meta["scope"] = f"joins.{part.name}"
            return own
        if part.kind == "replace":
            # the network will overwrite what it is given: give it something of its own
            overwritten = self.flow.mutators(wire.target.source, node)
            if not overwritten:
                return arriving[0]
            copied = self.graph.call_function(torch.clone, (*arriving,))
            copied.meta["scope"] = f"joins.{part.name}"
            return copied
        return self.graph.call_module(f"joins.{part.name}", (own, *arriving))

    def _keep(self, number: int) -> fx.Node:
        copied = self.graph.call_function(torch.clone, (self.env["join", number],))
        copied.meta["scope"] = f"joins.{self.resolved.joins[number].name}"
        return copied

    def _head(self, name: str) -> fx.Node:
        number = [head.name for head in self.plan.heads].index(name)
        inputs = [self.env[value] for value in head_inputs(self.flow, number)]
        return self.graph.call_module(f"heads.{name}", tuple(inputs))


def build_modules(resolved: Resolved, seed: int) -> nn.Module:
    """A module that holds copies of the sources and fresh parts, at the linked graph's paths."""
    root = nn.Module()
    for section in ("preprocess", "sources", "adapters", "joins", "heads"):
        root.add_module(section, nn.Module())
    for name, source in resolved.checked.sources.items():
        root.get_submodule("preprocess").add_module(name, source.preprocessing.build())
        network = copy.deepcopy(source.loaded().module)
        _register_constants(network)
        root.get_submodule("sources").add_module(name, network)
    parts = [(f"adapters.{p.name}", p) for wire in resolved.adapters for p in wire]
    parts += [(f"joins.{part.name}", part) for part in resolved.joins]
    parts += [(f"heads.{part.head.name}", part) for part in resolved.heads]
    for path, part in parts:
        section, name = path.split(".", 1)
        if (built := build_seeded(part, seed, path)) is not None:
            root.get_submodule(section).add_module(name, built)
    return root


def _register_constants(network: nn.Module) -> None:
    """Tensors that tracing stored as plain attributes become buffers, to move with the network."""
    for name, value in [*vars(network).items()]:
        if isinstance(value, Tensor):
            delattr(network, name)
            network.register_buffer(name, value, persistent=False)
