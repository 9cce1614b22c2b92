"""Adapters give the target's shape, whatever the shapes on their two sides."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convgraft.layers import ADAPTERS, Gate, build_adapter

RELATIONS = {
    "same": ((4, 6, 6), (4, 6, 6)),
    "more channels": ((4, 6, 6), (9, 6, 6)),
    "fewer channels": ((4, 6, 6), (2, 6, 6)),
    "down": ((4, 8, 8), (4, 3, 3)),
    "up": ((4, 3, 3), (4, 8, 8)),
    "down with channels": ((4, 8, 8), (7, 4, 4)),
    "up with channels": ((4, 4, 4), (3, 8, 8)),
    "wide": ((4, 4, 8), (4, 8, 4)),
    "wide down": ((4, 12, 6), (3, 5, 10)),
    "wide up": ((4, 3, 2), (6, 9, 12)),
    "to one position": ((4, 5, 5), (4, 1, 1)),
    "map to vector": ((4, 5, 5), (6,)),
    "map to vector of its width": ((4, 5, 5), (4,)),
    "vector to map": ((4,), (6, 5, 5)),
    "vector to map of its width": ((4,), (4, 5, 5)),
    "vector to vector": ((4,), (6,)),
    "same vector": ((4,), (4,)),
}
FITS = [
    (kind, relation)
    for kind, relation in itertools.product(ADAPTERS, RELATIONS)
    if ADAPTERS[kind].changes_channels or RELATIONS[relation][0][0] == RELATIONS[relation][1][0]
]


@pytest.mark.parametrize(("kind", "relation"), FITS)
@pytest.mark.parametrize("gated", [False, True])
def test_gives_the_shape_of_the_target(kind: str, relation: str, gated: bool):
    shape_in, shape_out = RELATIONS[relation]
    adapter = build_adapter(kind, shape_in, shape_out, gated=gated)
    result = adapter(torch.rand(3, *shape_in))
    assert result.shape == (3, *shape_out)
    assert result.isfinite().all()


@pytest.mark.parametrize(("kind", "relation"), FITS)
def test_a_zero_start_gives_zero_and_can_learn(kind: str, relation: str):
    shape_in, shape_out = RELATIONS[relation]
    adapter = build_adapter(kind, shape_in, shape_out, gated=True)
    x = torch.rand(3, *shape_in)
    result = adapter(x)
    assert torch.equal(result, torch.zeros(3, *shape_out))
    (result * torch.rand(result.shape)).sum().backward()
    assert adapter.gate.scale.grad.abs().max() > 0


def test_a_gate_scales_channel_by_channel():
    gate = Gate(3)
    gate.scale.data = torch.tensor([0.0, 1.0, -2.0])
    for shape in [(2, 3), (2, 3, 4, 5)]:
        x = torch.rand(shape)
        for channel, factor in enumerate([0.0, 1.0, -2.0]):
            assert torch.equal(gate(x)[:, channel], factor * x[:, channel])


def test_identity_without_gate_is_the_value_itself():
    x = torch.rand(2, 4, 6, 6)
    assert torch.equal(build_adapter("identity", (4, 6, 6), (4, 6, 6), gated=False)(x), x)


def test_maps_shrink_by_averaging_and_grow_bilinearly():
    x = torch.rand(2, 4, 8, 8)
    down = build_adapter("identity", (4, 8, 8), (4, 4, 4), gated=False)(x)
    torch.testing.assert_close(down, x.view(2, 4, 4, 2, 4, 2).mean((3, 5)))
    up = build_adapter("identity", (4, 8, 8), (4, 16, 16), gated=False)(x)
    torch.testing.assert_close(up, F.interpolate(x, scale_factor=2, mode="bilinear"))


def test_a_map_becomes_a_vector_by_its_mean_and_a_vector_an_even_map():
    x = torch.rand(2, 4, 5, 5)
    vector = build_adapter("identity", (4, 5, 5), (4,), gated=False)(x)
    torch.testing.assert_close(vector, x.mean((2, 3)))
    even = build_adapter("identity", (4,), (4, 5, 5), gated=False)(vector)
    torch.testing.assert_close(even, vector[:, :, None, None].expand(2, 4, 5, 5))


def test_conv1x1_mixes_channels_at_each_position():
    adapter = build_adapter("conv1x1", (4, 3, 3), (6, 3, 3), gated=False)
    x = torch.rand(2, 4, 3, 3)
    weight, bias = adapter.mix.weight[:, :, 0, 0], adapter.mix.bias
    for row, column in itertools.product(range(3), range(3)):
        expected = x[:, :, row, column] @ weight.T + bias
        torch.testing.assert_close(adapter(x)[:, :, row, column], expected)


def test_block_is_convolution_batch_norm_and_relu():
    adapter = build_adapter("block", (4, 6, 6), (5, 6, 6), gated=False)
    assert [type(m) for m in adapter.mix] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert adapter.mix[0].kernel_size == (3, 3)
    assert adapter(torch.randn(2, 4, 6, 6)).min() == 0


def test_cnn_is_two_blocks_and_a_convolution_that_may_be_negative():
    adapter = build_adapter("cnn", (4, 6, 6), (5, 6, 6), gated=False)
    block = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(m) for m in adapter.mix] == [*block, *block, nn.Conv2d]
    kernels = [(m.out_channels, m.kernel_size) for m in adapter.mix if isinstance(m, nn.Conv2d)]
    assert kernels == [(10, (3, 3)), (10, (3, 3)), (5, (1, 1))]
    assert adapter(torch.randn(8, 4, 6, 6)).min() < 0


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("relation", RELATIONS)
def test_residual_starts_as_its_convolution(relation: str, training: bool):
    shape_in, shape_out = RELATIONS[relation]
    adapter = build_adapter("residual", shape_in, shape_out, gated=False).train(training)
    plain = build_adapter("conv1x1", shape_in, shape_out, gated=False)
    plain.mix.load_state_dict(adapter.mix.linear.state_dict())
    x = torch.randn(3, *shape_in)
    assert torch.equal(adapter(x), plain(x))


def test_residual_adds_its_block_channel_by_channel():
    mix = build_adapter("residual", (4, 6, 6), (3, 6, 6), gated=False).mix.eval()
    mix.scale.data = torch.tensor([0.0, 1.0, -2.0])
    x = torch.randn(2, 4, 6, 6)
    block = mix.block(x)
    for channel, factor in enumerate([0.0, 1.0, -2.0]):
        expected = mix.linear(x)[:, channel] + factor * block[:, channel]
        torch.testing.assert_close(mix(x)[:, channel], expected)
    assert block.min() < 0
    assert mix.block[0].out_channels == 12


def test_residual_opens_its_block_by_training():
    mix = build_adapter("residual", (4, 6, 6), (3, 6, 6), gated=False).mix
    mix(torch.randn(4, 4, 6, 6)).square().sum().backward()
    assert mix.scale.grad.abs().min() > 0


def test_dense_gives_every_number_of_the_map_from_the_mean():
    adapter = build_adapter("dense", (4, 5, 5), (3, 2, 6), gated=False)
    x = torch.rand(2, 4, 5, 5)
    result = adapter(x)
    mean, weight, bias = x.mean((2, 3)), adapter.mix.weight, adapter.mix.bias
    for number, (c, h, w) in enumerate(itertools.product(range(3), range(2), range(6))):
        torch.testing.assert_close(result[:, c, h, w], mean @ weight[number] + bias[number])


def test_dense_grows_large_maps_from_eight_positions_a_side():
    adapter = build_adapter("dense", (4,), (3, 16, 5), gated=False)
    assert adapter.mix.out_features == 3 * 8 * 5
    x = torch.rand(2, 4)
    small = adapter.mix(x).view(2, 3, 8, 5)
    large = F.interpolate(small, (16, 5), mode="bilinear", align_corners=False)
    torch.testing.assert_close(adapter(x), large)


@pytest.mark.parametrize("kind", ["conv1x1", "residual"])
def test_the_linear_part_is_a_1x1_convolution_with_bias(kind: str):
    mix = build_adapter(kind, (4, 8, 8), (6, 4, 4), gated=True).mix
    linear = mix if kind == "conv1x1" else mix.linear
    assert isinstance(linear, nn.Conv2d)
    assert linear.weight.shape == (6, 4, 1, 1) and linear.bias.shape == (6,)


@pytest.mark.parametrize(("size_in", "size_out", "side"), [(8, 4, 4), (4, 8, 4), (6, 6, 6)])
def test_the_costly_layer_runs_on_the_smaller_map(size_in: int, size_out: int, side: int):
    adapter = build_adapter("conv1x1", (4, size_in, size_in), (6, size_out, size_out), gated=False)
    sides: list[int] = []
    adapter.mix.register_forward_hook(lambda m, given, result: sides.append(result.shape[-1]))
    adapter(torch.rand(1, 4, size_in, size_in))
    assert sides == [side]
