"""The gates of a trained network, which are constants, as part of the layers around them.

    conv (W, b) -> gate g                  becomes    conv (g W, g b)
    conv (W, b) -> ReLU -> gate g >= 0     becomes    conv (g W, g b) -> ReLU
    t + gate 0                             becomes    t
    gate g                                 becomes    a convolution of each channel by itself

The last is a form that oneDNN and ONNX Runtime compute together with the sum after it.
"""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from convgraft.cache.plain_layers import is_plain
from convgraft.cache.pooled import pool
from convgraft.export.fuse import averages
from convgraft.layers.adapters import Gate
from convgraft.sources.dry_run import needed

_ADDS = (operator.add, torch.add)
_READS_ONLY = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, Gate)


def fold_gates(network: fx.GraphModule) -> tuple[str, ...]:
    """Fold every gate; gives the notes (`meta["path"]`) of those that are shut, at exactly zero.

    What leads to a shut gate and nowhere else is gone. Every node has `meta["shape"]`. The graph of
    `network` is changed; its layers are not: folded ones are new modules beside them.
    """
    shut: list[str] = []
    for node in list(network.graph.find_nodes(op="call_module", sort=True)):
        gate = network.get_submodule(str(node.target))
        if not isinstance(gate, Gate) or gate._forward_hooks or gate._forward_pre_hooks:
            continue
        scale = gate.scale.detach()
        if not scale.any() and _leave_out(network, node):
            shut.append(node.meta.get("path", str(node.target)))
        elif scale.eq(1).all():
            _pass_on(network, node, node.all_input_nodes[0])
        elif not _fold_back(network, node, scale):
            _as_convolution(network, node, scale)
    _prune(network)
    return tuple(dict.fromkeys(shut))


def _leave_out(network: fx.GraphModule, node: fx.Node) -> bool:
    """Take a shut gate out of the sums that read it, where nothing else does."""
    sums = list(node.users)
    if not all(one.target in _ADDS and len(one.all_input_nodes) == 2 for one in sums):
        return False
    for one in sums:
        own = next(part for part in one.all_input_nodes if part is not node)
        if own.meta["shape"] != one.meta["shape"]:
            return False
    for one in sums:
        own = next(part for part in one.all_input_nodes if part is not node)
        _pass_on(network, one, own)
    return True


def _pass_on(network: fx.GraphModule, node: fx.Node, own: fx.Node) -> None:
    """Let a node give what `own` gives, as a copy where somebody may write over one of them."""
    readers = [*own.users, *node.users]
    if all(reader is node or _reads_only(network, reader) for reader in readers):
        node.replace_all_uses_with(own)
        network.graph.erase_node(node)
        return
    node.op, node.target, node.args, node.kwargs = "call_function", torch.clone, (own,), {}


def _reads_only(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), _READS_ONLY)
    return node.op == "output" or node.target in (*_ADDS, torch.cat, torch.clone, pool)


def _fold_back(network: fx.GraphModule, node: fx.Node, scale: Tensor) -> bool:
    """Put the gate into the layer before it, behind what it can change places with."""
    before = node.all_input_nodes[0]
    while len(before.users) == 1:
        module = network.get_submodule(str(before.target)) if before.op == "call_module" else None
        passes = averages(before, module) or (type(module) is nn.ReLU and bool((scale >= 0).all()))
        if passes:
            before = before.all_input_nodes[0]
            continue
        layer: Any = module
        if module is None or not is_plain(module) or len(layer.weight) != len(scale):
            return False
        _scale_layer(network, before, layer, scale)
        node.replace_all_uses_with(node.all_input_nodes[0])
        network.graph.erase_node(node)
        return True
    return False


def _scale_layer(
    network: fx.GraphModule, node: fx.Node, layer: nn.Conv2d | nn.Linear, scale: Tensor
) -> None:
    twin = copy.copy(layer)
    twin._parameters = dict(layer._parameters)
    weight = layer.weight.detach() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    twin.weight = nn.Parameter(weight, requires_grad=False)
    if layer.bias is not None:
        twin.bias = nn.Parameter(layer.bias.detach() * scale, requires_grad=False)
    node.target = _add(network, twin)


def _as_convolution(network: fx.GraphModule, node: fx.Node, scale: Tensor) -> None:
    """The gate of a map as a depthwise 1x1 convolution; that of a vector stays."""
    if len(node.meta["shape"]) != 4:
        return
    channels = len(scale)
    conv = nn.Conv2d(channels, channels, 1, groups=channels, bias=False, device="meta")
    conv.weight = nn.Parameter(scale.view(channels, 1, 1, 1).clone(), requires_grad=False)
    node.target = _add(network, conv.eval())


def _add(network: fx.GraphModule, module: nn.Module) -> str:
    number = sum(name.startswith("gated_") for name, _ in network.named_children())
    network.add_submodule(f"gated_{number}", module)
    return f"gated_{number}"


def _prune(network: fx.GraphModule) -> None:
    """Erase what no answer depends on any more; the image stays."""
    graph = network.graph
    kept = {*needed(graph, [graph.output_node()]), *graph.find_nodes(op="placeholder")}
    for node in reversed([node for node in graph.nodes if node not in kept]):
        graph.erase_node(node)
    graph.lint()
    network.recompile()
