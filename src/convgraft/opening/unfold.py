"""A composite's graphs as those of a source, with every tap under its own name.

A composite calls the layers of its sources one by one, so tracing its forward would lose what
`layer1` is. Here the names come from the captures of its sources, and the parts that its plan
added are opened down to their layers:

    sources.a.layer1                 what source `a` computed there, before anything was joined in
    joins.a:layer1->b:layer1.add     the tap's value after that wire (without `.add` where the
                                     join is a layer)
    adapters.a:layer1->b:layer1.mix  a layer of an adapter
    heads.label, heads.label.norm    an answer, a layer of its head
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx, nn

from convgraft.compose import Composite, Resolved
from convgraft.compose.prune import prune_graph
from convgraft.sources.capture import CallTracer, Capture, Graph, same_code

_PARTS = ("adapters.", "joins.", "heads.")


def unfold(composite: Composite, answer: str) -> Capture:
    """Both graphs of a composite that holds nothing, giving one answer's logits alone."""
    training = composite.training
    graphs = {}
    for mode in (True, False):
        composite.train(mode)
        graphs[mode] = _Unfolder(composite, training=mode).run(answer)
    composite.train(training)
    if same_code(graphs[True].fx, graphs[False].fx):
        graphs[True] = graphs[False]
    opened = composite.resolved.checked.sources
    opaque = [f"sources.{n}.{path}" for n, one in opened.items() for path in one.capture.opaque]
    return Capture(graphs[True], graphs[False], tuple(opaque))


class _Unfolder:
    """Copies one graph of a composite, node by node, and notes what each node is called."""

    def __init__(self, composite: Composite, *, training: bool) -> None:
        self.composite = composite
        self.linked = composite.train_graph if training else composite.graph
        self.captures = {
            name: one.capture.graph(training)
            for name, one in composite.resolved.checked.sources.items()
        }
        self.ranks = _ranks(composite.resolved)
        self.graph = fx.Graph()
        self.env: dict[fx.Node, fx.Node] = {}
        self.results: dict[str, tuple[str, ...]] = {}
        self.scopes: dict[str, str] = {}

    def run(self, answer: str) -> Graph:
        """The copy, pruned to one answer."""
        for node in self.linked.nodes:
            if node.op == "output":
                answers: Any = node.args[0]
                self.graph.output(self.env[answers[answer]])
            elif node.op == "call_module" and str(node.target).startswith(_PARTS):
                self.env[node] = self._part(node)
            else:
                self.env[node] = self._copied(node)
        prune_graph(self.graph)
        self.graph.lint()
        return Graph(self.graph, self.results, self.scopes)

    def _copied(self, node: fx.Node) -> fx.Node:
        copied = self.graph.node_copy(node, lambda n: self.env[n])
        source, name = node.meta.get("origin", (None, ""))
        if str(node.target).startswith("preprocess."):
            self.results[copied.name] = (str(node.target),)
        elif source is not None:
            of = self.captures[source]
            paths = of.results.get(name, ())
            self.results[copied.name] = tuple(f"sources.{source}.{path}" for path in paths)
            self.scopes[copied.name] = f"sources.{source}.{of.scopes.get(name, '')}".rstrip(".")
        else:
            self.scopes[copied.name] = node.meta.get("scope", "")
        return copied

    def _part(self, node: fx.Node) -> fx.Node:
        """The layers of an adapter, join or head; the part itself where it cannot be traced."""
        target = str(node.target)
        traced = _trace(self.composite.get_submodule(target), self.ranks[target])
        if traced is None:
            copied = self.graph.node_copy(node, lambda n: self.env[n])
            self.results[copied.name] = (target,)
            return copied
        arguments: Any = node.args
        inputs = [self.env[argument] for argument in arguments]
        values: dict[fx.Node, fx.Node] = {}
        for inner in traced.fx.nodes:
            if inner.op == "output":
                return values[inner.args[0]]
            if inner.op != "placeholder":
                values[inner] = self._inlined(inner, target, traced, inputs, values)
        raise AssertionError("a graph ends with its output")

    def _inlined(
        self,
        inner: fx.Node,
        target: str,
        traced: Graph,
        inputs: Sequence[fx.Node],
        values: dict[fx.Node, fx.Node],
    ) -> fx.Node:
        if inner.target is operator.getitem and inner.args[0] is traced.input:
            place: Any = inner.args[1]
            return inputs[place]
        copied = self.graph.node_copy(inner, lambda n: values[n])
        if inner.op in ("call_module", "get_attr"):
            copied.target = _renamed(str(inner.target), target)
        paths = traced.results.get(inner.name, ())
        self.results[copied.name] = tuple(_renamed(path, target) for path in paths)
        self.scopes[copied.name] = _renamed(traced.scopes.get(inner.name, "part"), target)
        return copied


def _renamed(path: str, target: str) -> str:
    return target + path.removeprefix("part")


def _ranks(resolved: Resolved) -> dict[str, tuple[int, ...]]:
    """Number of dimensions of every input of every part."""
    shapes = {f"adapters.{p.name}": (p.shape_in,) for wire in resolved.adapters for p in wire}
    shapes |= {f"joins.{part.name}": (part.own, *part.arriving) for part in resolved.joins}
    shapes |= {f"heads.{part.head.name}": part.inputs for part in resolved.heads}
    return {name: tuple(len(shape) + 1 for shape in given) for name, given in shapes.items()}


class _Call(nn.Module):
    """Calls a part with the items of one tuple, each of a known number of dimensions."""

    def __init__(self, part: nn.Module, ranks: Sequence[int]) -> None:
        super().__init__()
        self.part, self._ranks = part, ranks

    def forward(self, values: Any) -> Tensor:
        return self.part(*(_Ranked(values[i], rank) for i, rank in enumerate(self._ranks)))


class _Ranked(fx.Proxy):
    """A value whose number of dimensions is known and may be branched on."""

    def __init__(self, proxy: fx.Proxy, rank: int) -> None:
        super().__init__(proxy.node, proxy.tracer)
        self._rank = rank

    @property
    def ndim(self) -> int:
        return self._rank

    def dim(self) -> int:
        return self._rank


class _PartTracer(CallTracer):
    """Stops at what has no parts of its own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(m.children()) or super().is_leaf_module(m, module_qualified_name)


def _trace(part: nn.Module, ranks: Sequence[int]) -> Graph | None:
    """The part's layers, below the path `part`; None where its forward is in the way."""
    call = _Call(part, ranks)
    tracer = _PartTracer(call, frozenset())
    try:
        graph = tracer.trace(call)
    except Exception:  # whatever a forward makes of values that are not there yet
        return None
    reads = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    if not all(path.startswith("part.") for path in reads):
        return None  # a constant that was stored while tracing
    return tracer.graph_with_names(graph)
