"""Batch norm as part of the layer before it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn

from convgraft.cache.batch_norm_folding import fold_batch_norms


def filled(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> None:
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor is not None
        nn.init.uniform_(tensor, 0.5, 2)


def test_folded_weights_are_those_of_the_naive_loop() -> None:
    conv, norm = nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)
    filled(norm)
    network = fx.symbolic_trace(nn.Sequential(conv, norm).eval())
    assert fold_batch_norms(network) == 1
    folded = network.get_submodule("folded_0")
    assert isinstance(folded, nn.Conv2d)
    for channel in range(6):
        scale = norm.weight[channel] / (norm.running_var[channel] + norm.eps) ** 0.5  # pyright: ignore
        bias = (conv.bias[channel] - norm.running_mean[channel]) * scale  # pyright: ignore
        torch.testing.assert_close(folded.weight[channel], conv.weight[channel] * scale)
        torch.testing.assert_close(folded.bias[channel], bias + norm.bias[channel])  # pyright: ignore


class Two(nn.Module):
    def __init__(self, *, seen: bool) -> None:
        super().__init__()
        self.conv, self.seen = nn.Conv2d(3, 3, 3, padding=1, bias=False), seen
        self.one, self.other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        filled(self.one)
        filled(self.other)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv(x)
        second = self.other(self.conv(self.one(first)))
        return second + first if self.seen else second


@pytest.mark.parametrize("seen", [False, True])
def test_a_shared_layer_is_folded_for_each_place_where_the_norm_alone_reads_it(seen: bool) -> None:
    original = Two(seen=seen).eval()
    weight, images = original.conv.weight.clone(), torch.rand(2, 3, 8, 8)
    network = fx.symbolic_trace(original)
    assert fold_batch_norms(network) == 2 - seen
    torch.testing.assert_close(network(images), original(images))
    assert torch.equal(original.conv.weight, weight)


def test_what_may_change_is_not_folded() -> None:
    bare = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert fold_batch_norms(fx.symbolic_trace(bare)) == 0
    training = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    assert fold_batch_norms(fx.symbolic_trace(training)) == 0


def test_an_activation_that_is_part_of_the_norm_stays() -> None:
    layers = pytest.importorskip("timm.layers")
    original = nn.Sequential(nn.Conv2d(3, 4, 3), layers.BatchNormAct2d(4, act_layer=nn.SiLU)).eval()
    filled(original[1])  # pyright: ignore

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)

    network = fx.GraphModule(original, Tracer().trace(original))
    assert fold_batch_norms(network) == 1
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(network(images), original(images))
