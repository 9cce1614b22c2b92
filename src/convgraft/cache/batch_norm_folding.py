"""Batch norm in evaluation mode as part of the convolution or dense layer before it.

conv (W, b) -> norm (m, v, g, s)    becomes    conv (W g / sqrt(v + e), (b - m) g / sqrt(v + e) + s)
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from convgraft.cache.plain_layers import is_plain

Layer = nn.Conv2d | nn.Linear
Norm = nn.BatchNorm2d | nn.BatchNorm1d
_NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)


def fold_batch_norms(network: fx.GraphModule) -> int:
    """Fold every batch norm that alone reads a convolution or a dense layer; says how many.

    The graph of `network` is changed; its layers are not: folded ones are new modules beside them.
    A layer that is called in several places is folded for each place by itself.
    """
    folded: dict[tuple[str, str], str] = {}
    places = 0
    for node in list(network.graph.nodes):
        norm, layer = _module(network, node), _layer_before(network, node)
        if layer is None or not isinstance(norm, _NORMS) or not _is_steady(norm):
            continue
        before = node.all_input_nodes[0]
        pair = (str(before.target), str(node.target))
        if pair not in folded:
            folded[pair] = f"folded_{len(folded)}"
            network.add_submodule(folded[pair], _folded(layer, norm))
        before.target = folded[pair]
        _leave_the_rest(network, node, norm, f"{folded[pair]}_rest")
        places += 1
    network.graph.lint()
    network.recompile()
    return places


def _leave_the_rest(network: fx.GraphModule, node: fx.Node, norm: nn.Module, name: str) -> None:
    """In place of a norm, the activation that is part of it; nothing where there is none."""
    rest = getattr(norm, "act", None)
    if rest is None or isinstance(rest, nn.Identity):
        node.replace_all_uses_with(node.all_input_nodes[0])
        network.graph.erase_node(node)
        return
    network.add_submodule(name, rest)
    node.target = name


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_steady(norm: Norm) -> bool:
    """Whether a batch norm has fixed statistics, and an activation at the most after it."""
    if norm.training or norm.running_mean is None:
        return False
    if norm._forward_pre_hooks or norm._forward_hooks:
        return False
    with_activation = type(norm).__module__.startswith("timm.") and hasattr(norm, "act")
    return type(norm) in _NORMS or with_activation


def _layer_before(network: fx.GraphModule, node: fx.Node) -> Layer | None:
    """The layer that a node alone reads, if it can take in a batch norm."""
    if len(node.all_input_nodes) != 1 or len(node.args) != 1 or node.kwargs:
        return None
    before = node.all_input_nodes[0]
    layer = _module(network, before)
    if not isinstance(layer, (nn.Conv2d, nn.Linear)) or not is_plain(layer):
        return None
    # behind a dense layer, a batch norm means the second axis, which is the last one of vectors
    matching = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d
    alone = len(before.users) == 1 and isinstance(_module(network, node), matching)
    return layer if alone else None


def _folded(layer: Layer, norm: Norm) -> Layer:
    """The layer and the norm after it as one layer, worked out in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var.detach().double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.detach().double()
    if layer.bias is not None:
        shift = shift + layer.bias.detach().double()
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    weight = layer.weight.detach().double()
    weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    folded = copy.copy(layer)
    folded._parameters = dict(layer._parameters)
    folded.weight = _parameter(weight, layer.weight)
    folded.bias = _parameter(shift, layer.weight)
    return folded


def _parameter(tensor: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.to(like), requires_grad=False)
