"""Which values of a graph lie in memory of their own, and who reads them last."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from convgraft.cache.activations import activation_of
from convgraft.cache.pooled import is_pooled

_OWN_MODULES = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm2d,
    nn.LayerNorm,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)
_OWN_FUNCTIONS = {
    operator.add,
    operator.mul,
    torch.add,
    torch.mul,
    torch.cat,
    torch.mean,
    F.adaptive_avg_pool2d,
    F.avg_pool2d,
    F.max_pool2d,
    F.conv2d,
}


class Owners:
    """Answers for one graph, whose nodes carry their shapes (`meta["tensor_meta"]`)."""

    def __init__(self, network: fx.GraphModule) -> None:
        """Looks up the order of the nodes; keep the order after that."""
        self._network = network
        self._noted: set[fx.Node] = set()
        self._place = {node: place for place, node in enumerate(network.graph.nodes)}

    def module(self, node: fx.Node) -> nn.Module | None:
        """What a node calls, where it calls a module."""
        if node.op != "call_module":
            return None
        return self._network.get_submodule(str(node.target))

    def note_own(self, node: fx.Node) -> None:
        """From now on a node writes over memory that is its own, and nobody else's after it."""
        self._noted.add(node)

    def may_overwrite(self, node: fx.Node, value: fx.Node) -> bool:
        """Whether `node` may write its result over `value`, which it reads.

        True where the two have one shape, `value` is no view of another, `node` reads it last, and
        no other that reads it gives a view of it.
        """
        if not self._is_own(value) or not alike(node, value):
            return False
        others = [user for user in value.users if user is not node]
        last = all(self._place[user] < self._place[node] for user in others)
        return last and all(self._is_own(user) for user in others)

    def overwrites(self, node: fx.Node) -> bool:
        """Whether a node is written to work in place."""
        return getattr(self.module(node), "inplace", False) or bool(node.kwargs.get("inplace"))

    def _is_own(self, node: fx.Node) -> bool:
        """Whether a node's result shares no memory with what it reads and may be read later."""
        if node in self._noted:
            return True
        module = self.module(node)
        if activation_of(node, module) is not None:
            return not self.overwrites(node)
        if module is not None:
            return isinstance(module, _OWN_MODULES) or getattr(module, "gives_own_memory", False)
        return node.target in _OWN_FUNCTIONS or _is_mean_of_map(node)


def _is_mean_of_map(node: fx.Node) -> bool:
    """Whether a node is the mean of a map; `pool` gives back vectors as they are."""
    if not is_pooled(node):
        return False
    given = node.all_input_nodes[0].meta.get("tensor_meta")
    return len(getattr(given, "shape", ())) == 4


def alike(node: fx.Node, value: fx.Node) -> bool:
    """Whether two nodes' values have one shape and one type."""
    one, other = node.meta.get("tensor_meta"), value.meta.get("tensor_meta")
    if not hasattr(one, "shape") or not hasattr(other, "shape"):
        return False
    return one.shape == other.shape and one.dtype == other.dtype  # pyright: ignore
