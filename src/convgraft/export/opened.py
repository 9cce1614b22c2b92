"""Joins, adapters and heads of a trained network, opened to plain layers that fold.

residual      W x + s B(x)            a convolution, a block with a gate behind it, a sum
concat        t + g M[t, r]           a concatenation, a convolution, a gate, a sum
gate          t + g (r - t)           a gate on each side, a sum
dense head    W s (x - m) / d + b     means, a concatenation, one dense layer
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from convgraft.cache.pooled import pool
from convgraft.layers.adapters import Gate, ResidualMix
from convgraft.layers.heads import DenseHead
from convgraft.layers.joins import Concat, CrossFade


def open_parts(network: fx.GraphModule) -> None:
    """Write layers in place of every module of these kinds; the graph is changed, not the modules.

    What is computed is the same, within rounding. Every node has `meta["shape"]`, that of its
    value; new nodes have the notes of the node that they stand for, so note shapes anew after it.
    """
    while any(_open(network, node) for node in network.graph.find_nodes(op="call_module")):
        pass
    network.graph.lint()
    network.recompile()


def _open(network: fx.GraphModule, node: fx.Node) -> bool:
    """Write the layers of one module in place of its call, where it is of a kind that opens."""
    module = network.get_submodule(str(node.target))
    opener = _OPENERS.get(type(module))
    if opener is None or node.kwargs or module._forward_hooks or module._forward_pre_hooks:
        return False
    with network.graph.inserting_before(node):
        value = opener(_Writer(network, node), module)
    if value is None:
        return False
    node.replace_all_uses_with(value)
    network.graph.erase_node(node)
    return True


class _Writer:
    """Writes nodes before the call of a module, noted as that call is."""

    def __init__(self, network: fx.GraphModule, node: fx.Node) -> None:
        self.network, self.node = network, node
        self.inputs = [arg for arg in node.args if isinstance(arg, fx.Node)]

    def layer(self, name: str, value: fx.Node) -> fx.Node:
        """A call of a layer within the module."""
        return self._noted(self.network.graph.call_module(f"{self.node.target}.{name}", (value,)))

    def layers(self, value: fx.Node, module: nn.Module, prefix: str = "") -> fx.Node:
        """Calls of all layers of a sequence, one after the other."""
        for name, _ in module.named_children():
            value = self.layer(prefix + name, value)
        return value

    def function(self, function: Callable[..., Any], *args: Any) -> fx.Node:
        """A call of a function."""
        return self._noted(self.network.graph.call_function(function, args))

    def gate(self, value: fx.Node, scale: Tensor) -> fx.Node:
        """A call of a gate of its own with that scale."""
        gate = Gate(len(scale))
        gate.scale = nn.Parameter(scale.detach().clone(), requires_grad=False)
        return self.added(gate.eval(), value)

    def added(self, module: nn.Module, value: fx.Node) -> fx.Node:
        """A call of a module that the network does not have yet."""
        number = sum(name.startswith("opened_") for name, _ in self.network.named_children())
        self.network.add_submodule(f"opened_{number}", module)
        return self._noted(self.network.graph.call_module(f"opened_{number}", (value,)))

    def _noted(self, node: fx.Node) -> fx.Node:
        node.meta = copy.copy(self.node.meta)
        return node


def _open_sequence(writer: _Writer, module: nn.Sequential) -> fx.Node:
    return writer.layers(writer.inputs[0], module)


def _open_residual(writer: _Writer, module: ResidualMix) -> fx.Node:
    block = writer.layers(writer.inputs[0], module.block, "block.")
    linear = writer.layer("linear", writer.inputs[0])
    return writer.function(torch.add, linear, writer.gate(block, module.scale))


def _open_concat(writer: _Writer, module: Concat) -> fx.Node | None:
    if len(writer.node.meta["shape"]) != 4:
        return None
    mixed = writer.layer("mix", writer.function(torch.cat, writer.inputs, 1))
    if module.gate is None:
        return mixed
    return writer.function(torch.add, writer.inputs[0], writer.gate(mixed, module.gate.scale))


def _open_cross_fade(writer: _Writer, module: CrossFade) -> fx.Node:
    own, arriving = writer.inputs
    gate = module.gate.detach()
    return writer.function(torch.add, writer.gate(own, 1 - gate), writer.gate(arriving, gate))


def _open_dense_head(writer: _Writer, module: DenseHead) -> fx.Node | None:
    if not module.pools or not isinstance(module.mix, nn.Identity):
        return None
    shapes = zip(writer.inputs, module.shapes, strict=True)
    pooled = [
        writer.function(torch.flatten, writer.function(pool, x), 1) if len(shape) == 3 else x
        for x, shape in shapes
    ]
    value = pooled[0] if len(pooled) == 1 else writer.function(torch.cat, pooled, 1)
    names = [f"layers.{name}" for name, _ in module.layers.named_children()] + ["classifier"]
    names = [name for name in names if not isinstance(module.get_submodule(name), nn.Dropout)]
    value = writer.added(_standardising(module, module.get_submodule(names[0])), value)
    for name in names[1:]:
        value = writer.layer(name, value)
    return value


def _standardising(head: DenseHead, layer: Any) -> nn.Linear:
    """The dense layer with what the head does before it: W s (x - m) / d + b, in float64."""
    norm: Any = head.standardisers[0]
    mean, variance = norm.running_mean, norm.running_var
    weight = layer.weight.detach().double() * head.scale * torch.rsqrt(variance.double() + norm.eps)
    folded = nn.Linear(layer.in_features, layer.out_features, device="meta")
    bias = layer.bias.detach().double() - weight @ mean.double()
    folded.weight = nn.Parameter(weight.to(layer.weight), requires_grad=False)
    folded.bias = nn.Parameter(bias.to(layer.weight), requires_grad=False)
    return folded.eval()


_OPENERS: Mapping[type[nn.Module], Callable[[_Writer, Any], fx.Node | None]] = {
    nn.Sequential: _open_sequence,
    ResidualMix: _open_residual,
    Concat: _open_concat,
    CrossFade: _open_cross_fade,
    DenseHead: _open_dense_head,
}
