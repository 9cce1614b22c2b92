"""Adaptive average pooling for the one size of map that a trained network has.

Where the sizes do not divide, windows overlap, and exporters gather every window by itself. With
the size known, they are one of two plainer things:

    13 -> 12     windows of 2, one step apart     an average pooling
    50 -> 24     windows of 3 and of 4            a product with constant matrices
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from convgraft.layers.adapters import Resize


class WindowMeans(nn.Module):
    """[N, C, H, W] to [N, C, height, width] as adaptive average pooling, by two products."""

    rows: Tensor
    columns: Tensor

    def __init__(self, given: tuple[int, int], wanted: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", _means(given[0], wanted[0]))
        self.register_buffer("columns", _means(given[1], wanted[1]).t().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """The means."""
        return self.rows @ x @ self.columns


class RegularMeans(nn.Module):
    """[N, C, H, W] to means over windows of one size, on maps with channels last.

    It says the divisor, so that oneDNN Graph does not take it in: with PyTorch 2.14 partitions with
    a pooling of a value that others read too give wrong values.
    """

    def __init__(self, size: tuple[int, int], step: tuple[int, int]) -> None:
        super().__init__()
        self.size, self.step = size, step

    def forward(self, x: Tensor) -> Tensor:
        """The means; with channels first the same takes five times as long."""
        x = x.contiguous(memory_format=torch.channels_last)
        return F.avg_pool2d(x, self.size, self.step, divisor_override=self.size[0] * self.size[1])


def settle_windows(network: fx.GraphModule, *, exported: bool = True) -> None:
    """Write plain layers in place of adaptive pooling whose sizes do not divide.

    Every node has `meta["shape"]`, that of its value. Results are the same within rounding.

    Args:
        exported: for exporters; else as PyTorch on CPUs is fastest, which leaves alone what has
            windows of several sizes.
    """
    for node in list(network.graph.nodes):
        given = node.all_input_nodes[0].meta.get("shape", ()) if node.all_input_nodes else ()
        wanted = node.meta.get("shape", ())
        if not _adapts(network, node) or len(given) != 4 or len(wanted) != 4:
            continue
        (height, width), size = given[2:], wanted[2:]
        if height % size[0] == 0 and width % size[1] == 0:
            continue
        pooling = plain_pooling((height, width), size, exported=exported)
        if pooling is None:
            continue
        name = f"windows_{sum(n.startswith('windows_') for n, _ in network.named_children())}"
        network.add_submodule(name, pooling.eval())
        node.op, node.target, node.kwargs = "call_module", name, {}
        node.args = (node.all_input_nodes[0],)
    network.recompile()


def _adapts(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op != "call_module":
        return node.target is F.adaptive_avg_pool2d
    module: Any = network.get_submodule(str(node.target))
    return isinstance(module, nn.AdaptiveAvgPool2d) or (isinstance(module, Resize) and module.down)


def plain_pooling(
    given: tuple[int, int], wanted: tuple[int, int], *, exported: bool = True
) -> nn.Module | None:
    """What pools maps of one size to another one as adaptive pooling does.

    None where windows differ in size, and PyTorch is to run it.
    """
    high, wide = (_regular(*sizes) for sizes in zip(given, wanted, strict=True))
    if high is None or wide is None:
        return WindowMeans(given, wanted) if exported else None
    size, step = (high[0], wide[0]), (high[1], wide[1])
    return nn.AvgPool2d(size, step) if exported else RegularMeans(size, step)


def _windows(given: int, wanted: int) -> list[tuple[int, int]]:
    """First place and end of each window."""
    return [(i * given // wanted, -(-(i + 1) * given // wanted)) for i in range(wanted)]


def _regular(given: int, wanted: int) -> tuple[int, int] | None:
    """Size and step of the windows; None where they differ."""
    windows = _windows(given, wanted)
    size, step = windows[0][1], windows[1][0] if wanted > 1 else given
    alike = all(window == (i * step, i * step + size) for i, window in enumerate(windows))
    return (size, step) if alike and (wanted - 1) * step + size == given else None


def _means(given: int, wanted: int) -> Tensor:
    """[wanted, given]: each row the mean over a window."""
    means = torch.zeros(wanted, given)
    for row, (start, end) in zip(means, _windows(given, wanted), strict=True):
        row[start:end] = 1 / (end - start)
    return means
