"""Convolutions with what follows them as one oneDNN call each, on weights laid out beforehand.

    conv -> activation          conv -> + other          conv -> + other -> ReLU

The calls are those that `torch.compile` makes of a frozen network on CPUs; they take no compiler.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from convgraft.cache.activations import Activation, activation_of
from convgraft.cache.ownership import Owners, alike
from convgraft.cache.plain_layers import is_plain

_ADDS = (operator.add, torch.add)
_NONE, _RELU = Activation("none"), Activation("relu")


def can_pack(sample: Tensor) -> bool:
    """Whether this PyTorch, on the device of `sample`, has the calls that are needed."""
    names = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
    has_them = all(hasattr(torch.ops.mkldnn, name) for name in names)
    return sample.device.type == "cpu" and torch.backends.mkldnn.is_available() and has_them


class PackedConvolution(nn.Module):
    """A convolution, the sum after it, and the activation after that: [N, C, H, W] to the same.

    Not for training: it knows its weights in oneDNN's own layout only.
    """

    gives_own_memory = True

    def __init__(self, conv: nn.Conv2d, activation: Activation, shape: torch.Size) -> None:
        """Lays out the weights for maps of `shape`; maps of other shapes are right too."""
        super().__init__()
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.activation = activation
        self.overwrites = False
        weight = conv.weight.detach()
        padding, stride, dilation, groups = self.geometry
        self._packed = torch.ops.mkldnn._reorder_convolution_weight(
            weight, padding, stride, dilation, groups, list(shape)
        )
        self._bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """activation(conv(x) + other); over the memory of `other` where `overwrites` is set."""
        ops, act = torch.ops.mkldnn, self.activation
        if other is None:
            return ops._convolution_pointwise(
                x, self._packed, self._bias, *self.geometry, act.name, act.numbers, act.algorithm
            )
        after = None if act.name == "none" else act.name
        if self.overwrites:
            return ops._convolution_pointwise_.binary(
                other, x, self._packed, self._bias, *self.geometry, "add", 1.0, after, [], None
            )
        return ops._convolution_pointwise.binary(
            x, other, self._packed, self._bias, *self.geometry, "add", 1.0, after, [], None
        )

    def extra_repr(self) -> str:
        """Geometry and activation, for printing."""
        return f"{self.geometry}, {self.activation}"


@dataclass
class _Found:
    """A convolution and the nodes after it that it takes in: a sum, an activation, or both."""

    conv: fx.Node
    total: fx.Node | None = None
    active: fx.Node | None = None
    activation: Activation = _NONE


def pack_convolutions(network: fx.GraphModule) -> int:
    """Put a `PackedConvolution` in place of every plain convolution; says how many.

    Every node has been through `torch.fx.passes.shape_prop`. The layers themselves are not changed.
    """
    finder = _Finder(network)
    found = [finder.follow(node) for node in network.graph.nodes if finder.is_plain(node)]
    found = finder.without_twice(found)
    for number, one in enumerate(found):
        _replace(network, one, f"packed_{number}")
    network.graph.lint()
    network.recompile()
    return len(found)


def _replace(network: fx.GraphModule, one: _Found, name: str) -> None:
    conv = network.get_submodule(str(one.conv.target))
    source = one.conv.all_input_nodes[0]
    shape = source.meta["tensor_meta"].shape
    packed = PackedConvolution(conv, one.activation, shape)  # pyright: ignore[reportArgumentType]
    network.add_submodule(name, packed)
    # a sum is worked out where its other part is known, an activation alone where the convolution
    place = one.total or one.conv
    others = [part for part in place.all_input_nodes if part is not one.conv] if one.total else []
    last = one.active or place
    with network.graph.inserting_before(place):
        node = network.graph.call_module(name, (source, *others))
    node.meta = dict(last.meta)
    last.replace_all_uses_with(node)
    for gone in (one.active, one.total, one.conv):
        if gone is not None:
            network.graph.erase_node(gone)


class _Finder:
    """Looks for convolutions and for what they can take in."""

    def __init__(self, network: fx.GraphModule) -> None:
        self._owners = Owners(network)
        self._place = {node: place for place, node in enumerate(network.graph.nodes)}

    def is_plain(self, node: fx.Node) -> bool:
        """Whether a node is a convolution of one float32 map, padded with zeros."""
        module = self._owners.module(node)
        if not isinstance(module, nn.Conv2d) or not is_plain(module) or len(node.args) != 1:
            return False
        given: Any = node.all_input_nodes[0].meta["tensor_meta"]
        is_map = len(given.shape) == 4 and given.dtype is module.weight.dtype is torch.float32
        return is_map and not isinstance(module.padding, str) and module.padding_mode == "zeros"

    def follow(self, conv: fx.Node) -> _Found:
        """A convolution with as much after it as one call computes."""
        after = _only_reader(conv)
        if after is None:
            return _Found(conv)
        activation = self._activation(after)
        if activation is not None:
            return _Found(conv, None, after, activation)
        if not self._is_sum(conv, after):
            return _Found(conv)
        last = _only_reader(after)
        if last is None or self._activation(last) != _RELU:
            return _Found(conv, after)
        return _Found(conv, after, last, _RELU)

    def without_twice(self, found: list[_Found]) -> list[_Found]:
        """Of two convolutions that one sum adds up, the later takes in the sum."""
        sums = {one.total: one for one in found if one.total is not None}
        return [
            one if one.total is None or sums[one.total] is one else _Found(one.conv)
            for one in found
        ]

    def _activation(self, node: fx.Node) -> Activation | None:
        return activation_of(node, self._owners.module(node))

    def _is_sum(self, conv: fx.Node, after: fx.Node) -> bool:
        """Whether a node adds a map of the same shape to a convolution's."""
        parts = after.all_input_nodes
        if after.target not in _ADDS or after.kwargs or len(parts) != 2:
            return False
        return alike(*parts) and self._stays(conv, after)

    def _stays(self, conv: fx.Node, after: fx.Node) -> bool:
        """Whether what a convolution reads is surely not overwritten before the sum after it."""
        source = conv.all_input_nodes[0]
        return not any(
            self._place[conv] < self._place[user] < self._place[after]
            and self._owners.overwrites(user)
            for user in source.users
        )


def _only_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
