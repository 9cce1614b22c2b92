"""A composite in two at its frontier: images to stored values, stored values to answers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from convgraft.cache.frontier import Frontier
from convgraft.cache.needs import upstream
from convgraft.cache.pooled import pool
from convgraft.cache.values import Value
from convgraft.compose import Composite


def front_of(frontier: Frontier, values: Sequence[Value]) -> fx.GraphModule:
    """What computes these values, as a tuple in their order, from images [N, 3, S, S]."""
    graph = fx.Graph()
    env: dict[fx.Node, fx.Node] = {}
    means: dict[fx.Node, fx.Node] = {}
    pooled = {value.node for value in values if value.pooled}
    for node in upstream([value.node for value in values], frontier.needs):
        env[node] = graph.node_copy(node, env.__getitem__)
        if node in pooled:  # at once: some values are overwritten later
            means[node] = graph.call_function(pool, (env[node],))
    graph.output(tuple(means[v.node] if v.pooled else env[v.node] for v in values))
    return fx.GraphModule(frontier.held.root(), graph, class_name="Front").eval()


def rest_of(frontier: Frontier, held: frozenset[str] | None = None) -> Composite:
    """The composite from the stored values on, sharing its modules.

    It takes one tensor for each stored value, in graph order, and after them the image where what
    learns reads that too.

    Args:
        held: what it holds, by default what the composite holds.
    """
    graph = fx.Graph()
    env = {node: graph.placeholder(f"value{number}") for number, node in enumerate(frontier.stored)}
    if frontier.reads_image:
        image = next(iter(frontier.graph.find_nodes(op="placeholder")))
        env[image] = graph.placeholder("image")
    for node in frontier.again:
        env[node] = graph.node_copy(node, env.__getitem__)
    whole = frontier.held
    holds = whole.held if held is None else held
    return Composite(whole.root(), whole.resolved, holds, {False: graph, True: graph})
