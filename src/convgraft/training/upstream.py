"""Which weights an output of a composite depends on, read off its graph for training."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import fx, nn

from convgraft.compose import Composite
from convgraft.training.zero_gates import ZeroGate, zero_gates

_STOPS = ("detach", "argmax", "size", "dim")  # what they give has no gradient
_NUMBERS = ("shape", "device", "dtype", "ndim", "data")


class Upstream:
    """The graph that a composite runs in training, to be walked from its outputs backwards.

    Attributes:
        gates: names of the parameters that are gates at zero.
        norms: paths of the norms with running statistics that the graph runs.
    """

    def __init__(self, composite: Composite) -> None:
        self._graph = composite.train_graph
        self._names = {id(weight): name for name, weight in composite.named_parameters()}
        self._own: dict[fx.Node, set[str]] = {}
        self._gates: dict[fx.Node, list[ZeroGate]] = {}
        self._positions = {node: place for place, node in enumerate(self._graph.nodes)}
        self._origins = {node.meta.get("origin"): node for node in self._graph.nodes}
        self.norms: list[str] = []
        for node in self._graph.nodes:
            if node.op == "call_module":
                self._note_module(node, composite.get_submodule(str(node.target)))
            elif node.op == "get_attr":
                self._own[node] = {str(node.target)} & set(self._names.values())
        self.gates = {gate.gate for gates in self._gates.values() for gate in gates}

    def _note_module(self, node: fx.Node, module: nn.Module) -> None:
        own = {name: self._names[id(weight)] for name, weight in module.named_parameters()}
        self._own[node] = set(own.values())
        self._gates[node] = [
            ZeroGate(own[gate.gate], frozenset(own[name] for name in gate.weights), gate.inputs)
            for gate in zero_gates(module, len(_inputs(node)))
        ]
        self.norms += [
            f"{node.target}.{path}" if path else str(node.target)
            for path, part in module.named_modules()
            if isinstance(part, nn.modules.batchnorm._NormBase) and part.running_mean is not None
        ]

    def of(self, outputs: Collection[str], shut: Collection[str] = ()) -> set[str]:
        """Names of the parameters that outputs depend on, by ways past none of the gates `shut`."""
        answers: Any = self._graph.output_node().args[0]
        reached: set[fx.Node] = {answers[name] for name in outputs}
        found: set[str] = set()
        for node in reversed(self._graph.nodes):
            if node not in reached or _is_stop(node):
                continue
            closed = [gate for gate in self._gates.get(node, ()) if gate.gate in shut]
            behind = {name for gate in closed for name in gate.weights}
            places = {place for gate in closed for place in gate.inputs}
            found |= self._own.get(node, set()) - behind
            for place, value in enumerate(_inputs(node)):
                if place not in places:
                    reached |= {value, *self._writers(value, node)}
        return found

    def carrying(self, learns: Collection[str]) -> set[str]:
        """Paths of the modules whose results depend on any of the parameters `learns`."""
        found: set[fx.Node] = set()
        for node in self._graph.nodes:
            read = {n for value in _inputs(node) for n in (value, *self._writers(value, node))}
            if not _is_stop(node) and (self._own.get(node, set()) & set(learns) or read & found):
                found.add(node)
        return {str(node.target) for node in found if node.op == "call_module"}

    def _writers(self, value: fx.Node, reader: fx.Node) -> set[fx.Node]:
        """The nodes that overwrite a value in place before somebody reads it."""
        writers = (self._origins.get(origin) for origin in value.meta.get("writers", ()))
        before = self._positions[reader]
        return {node for node in writers if node is not None and self._positions[node] < before}


def _inputs(node: fx.Node) -> list[fx.Node]:
    """The nodes that a node reads; those of a module in their places."""
    placed = [value for value in node.args if isinstance(value, fx.Node)]
    is_plain = node.op == "call_module" and len(placed) == len(node.args) and not node.kwargs
    return placed if is_plain else node.all_input_nodes


def _is_stop(node: fx.Node) -> bool:
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in _NUMBERS
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _STOPS
