"""Pooling between sizes that do not divide: as adaptive pooling, window by window."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from convgraft.export.windows import RegularMeans, WindowMeans, plain_pooling, settle_windows
from convgraft.layers.adapters import Resize


@pytest.mark.parametrize(
    ("given", "wanted", "kind"),
    [
        ((13, 13), (12, 12), nn.AvgPool2d),
        ((25, 7), (24, 6), nn.AvgPool2d),
        ((8, 12), (4, 1), nn.AvgPool2d),
        ((50, 50), (24, 24), WindowMeans),
        ((7, 13), (5, 12), WindowMeans),
        ((3, 3), (5, 5), WindowMeans),
    ],
)
def test_it_is_adaptive_pooling(
    given: tuple[int, int], wanted: tuple[int, int], kind: type[nn.Module]
) -> None:
    pooling = plain_pooling(given, wanted)
    assert pooling is not None
    assert type(pooling) is kind
    x = torch.randn(2, 3, *given)
    expected = F.adaptive_avg_pool2d(x, wanted)
    assert torch.allclose(pooling(x), expected, atol=1e-6)


@pytest.mark.parametrize(("given", "wanted"), [((13, 13), (12, 12)), ((25, 7), (24, 6))])
def test_where_pytorch_runs_it_windows_of_one_size_come_with_channels_last(
    given: tuple[int, int], wanted: tuple[int, int]
) -> None:
    pooling = plain_pooling(given, wanted, exported=False)
    assert isinstance(pooling, RegularMeans)
    x = torch.randn(2, 3, *given)
    found = pooling(x)
    assert torch.allclose(found, F.adaptive_avg_pool2d(x, wanted), atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_windows_of_several_sizes_are_left_to_pytorch() -> None:
    assert plain_pooling((50, 50), (24, 24), exported=False) is None


def test_only_sizes_that_do_not_divide_are_settled() -> None:
    layers = [Resize((12, 12), down=True), nn.AdaptiveAvgPool2d(5), nn.AdaptiveAvgPool2d(1)]
    graph = fx.Graph()
    value = graph.placeholder("x")
    for number in range(len(layers)):
        value = graph.call_module(str(number), (value,))
    graph.output(value)
    network = fx.GraphModule(nn.Sequential(*layers), graph)
    nodes = list(network.graph.nodes)
    for node, side in zip(nodes, (13, 12, 5, 1, 1), strict=True):
        node.meta["shape"] = (2, 3, side, side)
    x = torch.randn(2, 3, 13, 13)
    expected = network(x)
    settle_windows(network)
    targets = [str(node.target) for node in network.graph.find_nodes(op="call_module")]
    assert [target.partition("_")[0] for target in targets] == ["windows", "windows", "2"]
    assert torch.allclose(network(x), expected, atol=1e-6)
