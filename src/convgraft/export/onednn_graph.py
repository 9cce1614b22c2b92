"""A network for one shape of images as partitions of oneDNN Graph.

A packed convolution looks its kernel up at every call; a partition knows it, its weights in the
layout that the kernel wants, and what is fused into it. For one image at a time most of the time
goes into such looking up. PyTorch reaches oneDNN Graph through TorchScript, which is on its way
out: where it is gone, nothing is made here and the packed network answers.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

WARM_UP = 3  # calls: one is observed, one compiles, one is fast
TOLERANCE = 1e-5
_MARK = "oneDNNFusionGuard"

Key = tuple[tuple[int, ...], torch.dtype]
Values = tuple[Tensor, ...]


class FusedGraph:
    """A network for images of one shape and type; images [N, 3, S, S] to a tuple of values."""

    def __init__(self, traced: Any, sample: Tensor) -> None:
        self._traced, self.key = traced, key_of(sample)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Values:
        """The values, as inference tensors, for images whose `key_of` is `key`."""
        return self._traced(images.contiguous())


def key_of(images: Tensor) -> Key:
    """What a `FusedGraph` is made for: shape and type of the images."""
    return tuple(images.shape), images.dtype


def fused_graph(network: fx.GraphModule, sample: Tensor) -> FusedGraph | None:
    """A network made of partitions for images like `sample`; None where that does not work.

    It gives the network's values within 1e-5 of the largest, checked on the sample. The network is
    not changed; weights are copied.

    Args:
        network: in evaluation mode, images to a tuple of values, with plain layers.
        sample: [N, 3, S, S], uint8 or float; as many images as will run at once.
    """
    if sample.device.type != "cpu":
        return None
    # whatever a network or a build of PyTorch does not bear, the packed network does
    with contextlib.suppress(Exception), _fusing():
        made = _traced(network, sample)
        *_, values = (made(sample) for _ in range(WARM_UP))
        executed = torch.jit.last_executed_optimized_graph()  # pyright: ignore
        if _MARK in str(executed) and _same(values, network, sample):
            return made
    return None


@torch.no_grad()
def _traced(network: fx.GraphModule, sample: Tensor) -> FusedGraph:
    traced: Any = torch.jit.trace(network, (sample,), check_trace=False)
    return FusedGraph(torch.jit.freeze(traced.eval()), sample)


@torch.inference_mode()
def _same(values: Values, network: fx.GraphModule, sample: Tensor) -> bool:
    """Whether values are those of the network, within rounding."""
    return all(
        one.shape == other.shape
        and bool((one - other).abs().max() <= TOLERANCE * (other.abs().max() or 1))
        for one, other in zip(values, network(sample), strict=True)
    )


@contextlib.contextmanager
def _fusing() -> Iterator[None]:
    """TorchScript hands what it can to oneDNN Graph, without warning of its age."""
    before = torch.jit.onednn_fusion_enabled()
    torch.jit.enable_onednn_fusion(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.jit.enable_onednn_fusion(before)
