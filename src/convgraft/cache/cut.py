"""What to store as a minimum cut: what there is to choose, and the cheapest choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import networkx as nx
from torch import fx

from convgraft.cache.needs import Needs
from convgraft.sources.dry_run import DryRun

FLOAT_BYTES = 4


@dataclass(frozen=True, eq=False)
class Problem:
    """What there is to choose: steady nodes, their costs, and who reads whom.

    Attributes:
        bytes: cost of storing a node's value; a node that is not in it cannot be stored.
        work: cost of computing a node in every step, in the same unit; a node that is not in it
            cannot be computed then.
        reads: for each node, the nodes that it needs.
        wanted: the nodes that what learns reads.
    """

    bytes: Mapping[fx.Node, int]
    work: Mapping[fx.Node, int]
    reads: Mapping[fx.Node, tuple[fx.Node, ...]]
    wanted: tuple[fx.Node, ...]

    @classmethod
    def of(
        cls,
        graph: fx.Graph,
        steady: tuple[fx.Node, ...],
        storable: set[fx.Node],
        shapes: Mapping[fx.Node, tuple[int, ...]],
        needs: Needs,
        run: DryRun,
        per_byte: int,
    ) -> Problem:
        """The problem of one graph; bytes count `per_byte` units of work each."""
        seen = from_image(graph)
        nodes = [node for node in steady if node in seen]
        size = {n: prod(shapes[n]) * (1 if n.op == "placeholder" else FLOAT_BYTES) for n in shapes}
        work = {
            node: run.macs.get(node.name, 0) + prod(shapes.get(node, (1,)))
            for node in nodes
            if node.op != "placeholder"  # pixels are decoded once
        }
        known = set(nodes)
        reads = {n: tuple(i for i in needs[n] if i in known) for n in nodes}
        fixed = set(steady)
        learning = [node for node in (*run.order, graph.output_node()) if node not in fixed]
        wanted = known.intersection(need for node in learning for need in needs[node])
        return cls(
            {n: size[n] * per_byte for n in nodes if n in storable},
            work,
            reads,
            tuple(n for n in nodes if n in wanted),
        )

    def solve(self) -> tuple[fx.Node, ...]:
        """The nodes to store, in order; of equally cheap cuts the one nearest to what learns."""
        network = nx.DiGraph()
        for node, inputs in self.reads.items():
            once, stored = ("once", node), ("stored", node)
            # cut between source and node: computed in every step; between node and its copy: stored
            network.add_edge("source", once, **_capacity(self.work.get(node)))
            network.add_edge(once, stored, **_capacity(self.bytes.get(node)))
            for read in inputs:  # who is computed in every step needs what it reads then
                network.add_edge(("stored", read), once)
        for node in self.wanted:
            network.add_edge(("stored", node), "sink")
        _, (near, _) = nx.minimum_cut(network, "source", "sink")
        return tuple(n for n in self.reads if ("once", n) in near and ("stored", n) not in near)


def _capacity(cost: int | None) -> dict[str, int]:
    """An edge without a capacity cannot be cut."""
    return {} if cost is None else {"capacity": cost}


def from_image(graph: fx.Graph) -> set[fx.Node]:
    """The nodes whose values depend on the image; the others are constants and weights."""
    seen = set(graph.find_nodes(op="placeholder"))
    for node in graph.nodes:
        if any(argument in seen for argument in node.all_input_nodes):
            seen.add(node)
    return seen
