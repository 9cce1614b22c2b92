"""The cut right before the heads of frozen networks, whatever it costs."""

from __future__ import annotations

from torch import fx

from convgraft.cache.frontier import Frontier, measured
from convgraft.cache.pooled import with_pooling
from convgraft.cache.steady import steady_nodes
from convgraft.compose import Composite


def frontier_at_heads(held: Composite) -> Frontier:
    """A cut of a composite that nobody trains: all that its heads read of images is stored.

    What pooling heads read is stored pooled. Keys of the values are those of every other cut.

    Args:
        held: with what is frozen held.
    """
    graph = with_pooling(held)
    steady = tuple(steady_nodes(held, graph, at_rest=True))
    run, shapes = measured(held, graph)
    read = {node for head in _heads(graph) for node in head.all_input_nodes}
    stored = tuple(node for node in steady if node in read and node.op != "placeholder")
    return Frontier(held, graph, steady, stored, False, shapes, run)


def read_by(frontier: Frontier, head: str) -> tuple[fx.Node, ...]:
    """The nodes that a head reads, in its order."""
    found = next(node for node in _heads(frontier.graph) if node.target == f"heads.{head}")
    return tuple(node for node in found.args if isinstance(node, fx.Node))


def _heads(graph: fx.Graph) -> list[fx.Node]:
    calls = graph.find_nodes(op="call_module", sort=True)
    return [node for node in calls if str(node.target).startswith("heads.")]
