"""Means of residual branches worked out from the means around them."""

from __future__ import annotations

import torch
from torch import fx, nn

from convgraft.cache import fast
from convgraft.cache.fused import PackedConvolution
from convgraft.cache.pooled import pool
from convgraft.cache.pooled_sums import pool_by_sums


class Residual(nn.Module):
    """Two residual branches: the first is pooled on its own, the second read by another as well."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = (nn.Conv2d(i, 8, 3, padding=1) for i in (3, 8, 8))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.stem(image.float() / 255)
        branch = self.one(x)
        total = x + branch
        other = self.two(total)
        last = other + total
        means = [pool(value) for value in (x, branch, total, other, last)]
        return *means, other.sigmoid()


class Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__(autowrap_functions=(pool,))


def front() -> fx.GraphModule:
    torch.manual_seed(0)
    network = Residual().eval()
    return fx.GraphModule(network, Tracer().trace(network))


def pools(network: fx.GraphModule) -> int:
    return len(network.graph.find_nodes(op="call_function", target=pool))


def test_the_mean_of_a_branch_is_that_of_the_sum_less_the_other() -> None:
    given, images = front(), torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8)
    expected = given(images)
    assert pools(given) == 5
    assert pool_by_sums(given) == 1  # not of the branch that is read as a map
    assert pools(given) == 4
    for value, one in zip(given(images), expected, strict=True):
        torch.testing.assert_close(value, one, rtol=1e-5, atol=1e-6)


def test_the_convolution_then_takes_in_the_sum() -> None:
    given, images = front(), torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8)
    made = fast._packed(given, images, layout=torch.channels_last)
    packed = [m for m in made.network.modules() if isinstance(m, PackedConvolution)]
    assert len(packed) == 3
    taking = [n for n in made.network.graph.nodes if n.op == "call_module" and len(n.args) == 2]  # pyright: ignore
    assert len(taking) == 1
    with torch.inference_mode():
        for value, one in zip(made(images), given(images), strict=True):
            torch.testing.assert_close(value, one, rtol=1e-5, atol=1e-6)
