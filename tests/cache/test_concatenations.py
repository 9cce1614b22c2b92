"""Concatenations taken apart for the layers after them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from convgraft.cache import fast
from convgraft.cache.concatenations import split_concatenations
from convgraft.cache.fused import PackedConvolution
from convgraft.cache.pooled import pool


class Fire(nn.Module):
    """Two maps, concatenated, pooled by a window, then read by a convolution and by a mean."""

    def __init__(self, after: nn.Module | None = None, window: nn.Module | None = None) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 5, 1), nn.Conv2d(3, 7, 3, padding=1)
        self.window = window or nn.MaxPool2d(3, 2, ceil_mode=True)
        self.after = after or nn.Conv2d(12, 6, 1)
        self.relu = nn.ReLU()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image.float() / 255
        joined = torch.cat([self.relu(self.one(x)), self.relu(self.two(x))], 1)
        windows = self.window(joined)
        return pool(joined), pool(windows), self.relu(self.after(windows)).flatten(1)


class Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__(autowrap_functions=(pool,))


def front(network: nn.Module) -> fx.GraphModule:
    return fx.GraphModule(network.eval(), Tracer().trace(network))


def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, 13, 13), dtype=torch.uint8, generator=generator)


def split(network: nn.Module) -> tuple[fx.GraphModule, int]:
    """The graph taken apart, after its values were compared with those before."""
    torch.manual_seed(0)
    given = front(network)
    expected = given(images())
    ShapeProp(given).propagate(images())
    found = split_concatenations(given)
    for value, one in zip(given(images()), expected, strict=True):
        torch.testing.assert_close(value, one, rtol=1e-5, atol=1e-6)
    return given, found


def widest(network: fx.GraphModule) -> int:
    """Channels of the widest map that is concatenated; pooled to one position they are cheap."""
    ShapeProp(network).propagate(images())
    cats = network.graph.find_nodes(op="call_function", target=torch.cat)
    maps = [c.meta["tensor_meta"].shape for c in cats if c.meta["tensor_meta"].shape[-1] > 1]
    return max((shape[1] for shape in maps), default=0)


@pytest.mark.parametrize(
    "after",
    [
        nn.Conv2d(12, 6, 1),
        nn.Conv2d(12, 6, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(12, 6, 3, padding="same", dilation=2),
        nn.Conv2d(12, 6, 3, padding=1, padding_mode="reflect"),
    ],
    ids=["1x1", "strided, no bias", "dilated", "reflecting"],
)
def test_a_convolution_and_pools_work_on_the_parts(after: nn.Conv2d) -> None:
    network, found = split(Fire(after))
    assert found == 2  # before the window and after it
    assert widest(network) == 0


@pytest.mark.parametrize("window", [nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(3), nn.Identity()])
def test_other_windows(window: nn.Module) -> None:
    network, found = split(Fire(window=window))
    is_idle = isinstance(window, nn.Identity)  # it is taken out before, see `remove_idle`
    assert (found, widest(network)) == ((0, 12) if is_idle else (2, 0))


class ReadTwice(Fire):
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image.float() / 255
        joined = torch.cat([self.one(x), self.two(x)], 1)
        return self.after(joined), joined.sigmoid()


class OfRows(Fire):
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image.float() / 255
        return (self.one(torch.cat([x, x + 1], 2)), self.two(torch.cat([x, x + 1])))


class OfOneTwice(Fire):
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.two(image.float() / 255)[:, :6]
        return (self.after(torch.cat([x, x], 1)),)


@pytest.mark.parametrize(
    "network",
    [ReadTwice(), OfRows(), OfOneTwice(), Fire(nn.Conv2d(12, 6, 1, groups=2))],
    ids=["read by another too", "of rows and of images", "of one map twice", "in groups"],
)
def test_what_would_not_pay_or_not_be_right_stays(network: nn.Module) -> None:
    assert split(network)[1] == (1 if type(network) is Fire else 0)  # before its window it pays


def test_the_sum_is_one_call_with_the_convolution() -> None:
    torch.manual_seed(0)
    given = front(Fire())
    made = fast._packed(given, images(), layout=torch.channels_last)
    packed = [m for m in made.network.modules() if isinstance(m, PackedConvolution)]
    assert len(packed) == 4
    sums = [n for n in made.network.graph.nodes if len(n.all_input_nodes) == 2]
    in_conv = [n for n in sums if n.op == "call_module"]
    assert [type(made.network.get_submodule(str(n.target))) for n in in_conv] == [PackedConvolution]
    assert {n.target for n in sums if n not in in_conv} == {torch.cat}  # of means
    for value, one in zip(made(images()), given(images()), strict=True):
        torch.testing.assert_close(value, one, rtol=1e-5, atol=1e-6)
