"""Maps that pooling heads alone read become pooled values of the graph, small enough to store."""

from __future__ import annotations

import copy

from torch import Tensor, fx

from convgraft.compose import Composite


def pool(value: Tensor) -> Tensor:
    """[N, C, H, W] to [N, C, 1, 1], the means over positions; vectors as they are."""
    return value.mean((2, 3), keepdim=True) if value.dim() == 4 else value


def with_pooling(held: Composite) -> fx.Graph:
    """A copy of the training graph in which what pooling heads read is pooled before them.

    The answers are the same bit for bit: the mean of one position is that position.
    """
    graph: fx.Graph = copy.deepcopy(held.train_graph)
    for head in graph.find_nodes(op="call_module", sort=True):
        if not _pools(head, held):
            continue
        pooled = {value: _pooled(graph, value, head) for value in head.all_input_nodes}
        head.args = tuple(pooled.get(value, value) for value in head.args)  # type: ignore[arg-type]
    return graph


def is_pooled(node: fx.Node) -> bool:
    """Whether a node is such a mean."""
    return node.target is pool


def _pools(node: fx.Node, held: Composite) -> bool:
    target = str(node.target)
    return target.startswith("heads.") and getattr(held.get_submodule(target), "pools", False)


def _pooled(graph: fx.Graph, value: fx.Node, head: fx.Node) -> fx.Node:
    """The mean of a value, made where the first pooling head reads it."""
    for user in value.users:
        if is_pooled(user):
            return user
    with graph.inserting_before(head):
        return graph.call_function(pool, (value,))
