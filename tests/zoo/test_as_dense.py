"""A convolution and its dense form: equal answers, zeros where nothing is seen, shared weights."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convgraft.errors import UsageError
from convgraft.layers import as_dense
from convgraft.zoo.as_dense import dense_bias

SIZE = (6, 7)
SETTINGS: list[dict[str, Any]] = [
    {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    for kernel, stride, padding, dilation in itertools.product(
        (1, 3, (2, 3)), (1, 2, (3, 1)), (0, 1, (2, 0)), (1, (1, 2))
    )
]
MODES: list[dict[str, Any]] = [
    {"kernel_size": kernel, "padding": padding, "padding_mode": mode, "stride": stride}
    for kernel, padding, stride, mode in itertools.product(
        (3, (4, 3)), (1, (3, 2)), (1, 2), ("reflect", "replicate", "circular")
    )
]
SAME: list[dict[str, Any]] = [
    {"kernel_size": kernel, "padding": padding, "padding_mode": mode, "dilation": dilation}
    for kernel, padding, mode, dilation in itertools.product(
        (3, (2, 4)), ("same", "valid"), ("zeros", "reflect", "circular"), (1, 2)
    )
]
GROUPS: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": 1, "groups": groups, "bias": bias}
    for groups, bias in itertools.product((1, 2, 4), (True, False))
]


def layer(**settings: Any) -> nn.Conv2d:
    return nn.Conv2d(4, 8, dtype=torch.float64, **settings)


def numbered(conv: nn.Conv2d) -> Tensor:
    """Its dense form, each entry with the number (from 1) of the filter's weight that it is."""
    twin = layer(
        kernel_size=conv.kernel_size, stride=conv.stride, padding=conv.padding,
        dilation=conv.dilation, groups=conv.groups,
    )  # fmt: skip
    twin.weight.data = torch.arange(1.0, 1 + twin.weight.numel()).double().view_as(twin.weight)
    return as_dense(twin, SIZE)


@pytest.mark.parametrize("settings", [*SETTINGS, *MODES, *SAME, *GROUPS], ids=str)
def test_gives_what_the_convolution_gives(settings: dict[str, Any]):
    conv = layer(**settings)
    x = torch.randn(2, 4, *SIZE, dtype=torch.float64)
    expected = conv(x).flatten(1)
    matrix = as_dense(conv, SIZE)
    assert matrix.shape == (expected.shape[1], 4 * 6 * 7)
    torch.testing.assert_close(x.flatten(1) @ matrix.T + dense_bias(conv, SIZE), expected)


@pytest.mark.parametrize("settings", [SETTINGS[30], MODES[1], GROUPS[2]], ids=str)
def test_is_the_matrix_that_unit_images_show(settings: dict[str, Any]):
    conv = layer(**settings, **({} if "bias" in settings else {"bias": False}))
    units = torch.eye(4 * 6 * 7, dtype=torch.float64).view(-1, 4, *SIZE)
    expected = (conv(units).flatten(1) - dense_bias(conv, SIZE)).T
    torch.testing.assert_close(as_dense(conv, SIZE).to_dense(), expected)


def test_stores_the_receptive_fields_and_nothing_else():
    conv = layer(kernel_size=3, stride=2, padding=1, groups=2)
    with torch.no_grad():
        conv.weight.zero_()  # a weight of zero is a connection all the same
    matrix = as_dense(conv, SIZE)
    seen = set(zip(*matrix.indices().tolist(), strict=True))
    expected: set[tuple[int, int]] = set()
    for channel, y, x in itertools.product(range(8), range(3), range(4)):
        rows = [row for row in range(2 * y - 1, 2 * y + 2) if 0 <= row < 6]
        columns = [column for column in range(2 * x - 1, 2 * x + 2) if 0 <= column < 7]
        for own, row, column in itertools.product(range(2), rows, columns):
            place = channel // 4 * 2 + own
            expected.add(((channel * 3 + y) * 4 + x, (place * 6 + row) * 7 + column))
    assert seen == expected
    assert matrix.values().numel() == len(expected)


def test_without_padding_every_output_has_as_many_connections_as_the_filter_has_weights():
    matrix = as_dense(layer(kernel_size=3), SIZE)
    assert matrix.values().numel() == (8 * 4 * 5) * (4 * 3 * 3)


@pytest.mark.parametrize("settings", [{"padding": 0}, {"padding": 1}, {"stride": 2}], ids=str)
def test_a_weight_occurs_once_for_every_position_that_shows_it_a_pixel(settings: dict[str, Any]):
    conv = layer(kernel_size=3, **settings)
    padding, stride = settings.get("padding", 0), settings.get("stride", 1)
    counts = torch.bincount(numbered(conv).values().long())[1:].view_as(conv.weight)
    for down, across in itertools.product(range(3), range(3)):
        shown = [
            sum(0 <= start + offset - padding < size for start in range(0, last + 1, stride))
            for size, offset, last in (
                (6, down, 6 + 2 * padding - 3),
                (7, across, 7 + 2 * padding - 3),
            )
        ]
        assert (counts[:, :, down, across] == shown[0] * shown[1]).all()


@pytest.mark.parametrize("settings", [{}, {"padding": 1, "stride": 2, "groups": 2}], ids=str)
def test_entries_of_one_weight_are_equal(settings: dict[str, Any]):
    conv = layer(kernel_size=3, **settings)
    matrix, names = as_dense(conv, SIZE), numbered(conv)
    assert torch.equal(matrix.indices(), names.indices())
    assert torch.equal(matrix.values(), conv.weight.flatten()[names.values().long() - 1])


@pytest.mark.parametrize("settings", [{}, {"padding": 1, "stride": 2, "groups": 2}], ids=str)
def test_the_gradient_of_a_weight_is_the_sum_over_its_positions(settings: dict[str, Any]):
    conv = layer(kernel_size=3, **settings)
    x = torch.randn(3, 4, *SIZE, dtype=torch.float64)
    conv(x).square().sum().backward()
    dense = as_dense(conv, SIZE).to_dense().requires_grad_()
    bias = dense_bias(conv, SIZE).requires_grad_()
    nn.functional.linear(x.flatten(1), dense, bias).square().sum().backward()
    names = numbered(conv)
    total = torch.zeros(conv.weight.numel(), dtype=torch.float64)
    outputs, inputs = names.indices()
    total.index_add_(0, names.values().long() - 1, dense.grad[outputs, inputs])
    torch.testing.assert_close(total.view_as(conv.weight), conv.weight.grad)
    torch.testing.assert_close(bias.grad.view(8, -1).sum(1), conv.bias.grad)


def test_one_number_is_a_square_and_the_layer_stays_as_it_is():
    conv = layer(kernel_size=3)
    before = conv.weight.detach().clone()
    matrix = as_dense(conv, 5)
    assert not matrix.requires_grad
    assert matrix.is_coalesced()
    assert torch.equal(matrix.to_dense(), as_dense(conv, (5, 5)).to_dense())
    matrix.values().zero_()
    assert torch.equal(conv.weight, before)


@pytest.mark.parametrize(
    "other", [nn.Linear(3, 3), nn.ConvTranspose2d(3, 3, 3), nn.Conv1d(3, 3, 3)]
)
def test_other_layers_are_refused(other: Any):
    with pytest.raises(UsageError, match="takes one convolution layer") as caught:
        as_dense(other, 5)
    assert caught.value.found == type(other).__name__


@pytest.mark.parametrize(
    ("settings", "size", "side"),
    [
        ({"kernel_size": 5}, (4, 9), "4 pixels down"),
        ({"kernel_size": 3, "dilation": 3}, (9, 6), "6 pixels across"),
        ({"kernel_size": 3, "padding": 3, "padding_mode": "reflect"}, (9, 3), "3 pixels across"),
        ({"kernel_size": 3, "padding": 4, "padding_mode": "circular"}, (3, 9), "3 pixels down"),
        ({"kernel_size": 1}, (0, 3), "0 pixels down"),
    ],
)
def test_an_image_that_is_too_small_is_refused(
    settings: dict[str, Any], size: tuple[int, int], side: str
):
    conv = layer(**settings)
    with pytest.raises(UsageError, match=side):
        as_dense(conv, size)
    with pytest.raises(UsageError, match=side):
        dense_bias(conv, size)
    with pytest.raises(RuntimeError):
        conv(torch.zeros(1, 4, *size, dtype=torch.float64))
