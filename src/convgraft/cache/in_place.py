"""Values written over values that nobody reads any more: less memory to fetch and to fill."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from convgraft.cache.activations import activation_of, in_place
from convgraft.cache.fused import PackedConvolution
from convgraft.cache.ownership import Owners

_OVER: Mapping[Any, Any] = {
    operator.add: operator.iadd,
    torch.add: operator.iadd,
    operator.mul: operator.imul,
    torch.mul: operator.imul,
}


def write_in_place(network: fx.GraphModule) -> None:
    """Let activations, sums and products write over a value that nothing reads after them.

    Every node has been through `torch.fx.passes.shape_prop`; no node is moved after this.
    """
    owners = Owners(network)
    for node in list(network.graph.nodes):
        module = owners.module(node)
        activation = activation_of(node, module)
        if isinstance(module, PackedConvolution) and len(node.all_input_nodes) == 2:
            module.overwrites = owners.may_overwrite(node, node.args[1])
        elif activation is not None:
            function, source = in_place(activation), node.all_input_nodes[0]
            if function is not None and owners.may_overwrite(node, source):
                node.op, node.target, node.kwargs = "call_function", function, {}
                node.args = (source, *activation.numbers)
                owners.note_own(node)
        elif node.target in _OVER and len(node.all_input_nodes) == 2 and not node.kwargs:
            _write_over(node, owners)
    network.graph.lint()
    network.recompile()


def _write_over(node: fx.Node, owners: Owners) -> None:
    first, second = node.all_input_nodes
    for target, other in ((first, second), (second, first)):
        if owners.may_overwrite(node, target):
            node.target, node.args = _OVER[node.target], (target, other)
            owners.note_own(node)
            return
