"""Concatenations that nobody need make: the layers after them work on the parts.

    conv(cat(a, b)) = conv_a(a) + conv_b(b)        pool(cat(a, b)) = cat(pool(a), pool(b))

A map is then neither written nor read a second time, and the sum is one call with the convolution
(`convgraft.cache.fused`).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from convgraft.cache.plain_layers import is_plain
from convgraft.cache.pooled import is_pooled

PARTS = 3  # of a concatenation of more, the many small sums cost what they save
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def split_concatenations(network: fx.GraphModule) -> int:
    """Take concatenated maps apart where one convolution and pools read them; says how many.

    Every node has been through `torch.fx.passes.shape_prop`. Values are the same within rounding.
    """
    splitter = _Splitter(network)
    found = 0
    for node in list(network.graph.nodes):  # those made on the way are looked at by `split` itself
        found += splitter.split(node)
    network.graph.eliminate_dead_code()
    network.graph.lint()
    network.recompile()
    return found


class _Splitter:
    """Rewrites one graph."""

    def __init__(self, network: fx.GraphModule) -> None:
        self._network, self._made = network, 0

    def split(self, node: fx.Node) -> int:
        """Take one concatenation apart, and those that pools after it become; says how many."""
        parts = _parts(node)
        if parts is None or not self._pays(node):
            return 0
        found = 1
        for user in list(node.users):
            if isinstance(self._module(user), nn.Conv2d):
                self._sum_up(user, parts)
            else:
                found += self.split(self._pool(user, node, parts))
        return found

    def _pays(self, node: fx.Node) -> bool:
        modules = {user: self._module(user) for user in node.users}
        convs = [user for user, module in modules.items() if isinstance(module, nn.Conv2d)]
        others = [user for user in modules if user not in convs]
        pools = [user for user in others if type(modules[user]) in _POOLS]
        if any(user not in pools and not is_pooled(user) for user in others):
            return False
        plain = all(self._is_plain(conv) for conv in convs)
        return plain and len(convs) + len(pools) == 1

    def _is_plain(self, node: fx.Node) -> bool:
        module = self._module(node)
        return isinstance(module, nn.Conv2d) and is_plain(module) and module.groups == 1

    def _module(self, node: fx.Node) -> nn.Module | None:
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            return None
        return self._network.get_submodule(str(node.target))

    def _pool(self, user: fx.Node, node: fx.Node, parts: Sequence[fx.Node]) -> fx.Node:
        """The concatenation of pooled parts, in place of the pooled concatenation."""
        graph = self._network.graph
        with graph.inserting_before(user):
            pooled = [graph.node_copy(user, {node: part}.__getitem__) for part in parts]
            for one, part in zip(pooled, parts, strict=True):
                one.meta = _with_channels(user, _channels(part))
            joined = graph.call_function(torch.cat, (pooled, 1))
        joined.meta = {"tensor_meta": user.meta["tensor_meta"]}
        user.replace_all_uses_with(joined)
        graph.erase_node(user)
        return joined

    def _sum_up(self, user: fx.Node, parts: Sequence[fx.Node]) -> None:
        """The sum of convolutions of the parts, in place of that of their concatenation."""
        graph, conv = self._network.graph, self._module(user)
        assert isinstance(conv, nn.Conv2d)
        kernels = conv.weight.detach().split([_channels(part) for part in parts], 1)
        total: fx.Node | None = None
        with graph.inserting_before(user):
            for part, kernel in zip(parts, kernels, strict=True):
                name = f"of_part_{self._made}"
                self._made += 1
                self._network.add_submodule(name, _of_part(conv, kernel, total is None))
                value = graph.call_module(name, (part,))
                value.meta = dict(user.meta)
                if total is not None:
                    value = graph.call_function(operator.add, (value, total))
                    value.meta = dict(user.meta)
                total = value
        assert total is not None
        user.replace_all_uses_with(total)
        graph.erase_node(user)


def _parts(node: fx.Node) -> Sequence[fx.Node] | None:
    """The maps of [N, C, H, W] that a node concatenates by their channels."""
    given = node.meta.get("tensor_meta")
    if node.target is not torch.cat or len(getattr(given, "shape", ())) != 4 or not node.args:
        return None
    parts: Any = node.args[0]
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    if dim not in (1, -3) or not 2 <= len(parts) <= PARTS or len(set(parts)) < len(parts):
        return None
    return parts


def _channels(node: fx.Node) -> int:
    return node.meta["tensor_meta"].shape[1]


def _with_channels(node: fx.Node, channels: int) -> dict[str, object]:
    """A node's notes, for a value that has other channels."""
    told: Any = node.meta["tensor_meta"]
    shape = torch.Size([told.shape[0], channels, *told.shape[2:]])
    return {**node.meta, "tensor_meta": told._replace(shape=shape)}


def _of_part(conv: nn.Conv2d, kernel: torch.Tensor, biased: bool) -> nn.Conv2d:
    """The same convolution for some of its channels; the bias is in one of them only."""
    part = nn.Conv2d(
        kernel.shape[1],
        conv.out_channels,
        conv.kernel_size,  # pyright: ignore[reportArgumentType]
        conv.stride,  # pyright: ignore[reportArgumentType]
        conv.padding,  # pyright: ignore[reportArgumentType]
        conv.dilation,  # pyright: ignore[reportArgumentType]
        bias=biased and conv.bias is not None,
        padding_mode=conv.padding_mode,  # pyright: ignore[reportArgumentType]
        device="meta",
    )
    part.weight = nn.Parameter(kernel.contiguous(), requires_grad=False)
    if part.bias is not None and conv.bias is not None:
        part.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return part.eval()
