"""Adapters and joins as the documentation words them, in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_DENSE_SIDE = 8
MOMENTUM, EPSILON = 0.1, 1e-5  # torch's defaults for batch norm


@dataclass
class Weights:
    """A composite's numbers, read by name.

    Attributes:
        tensors: its state dict.
        training: whether batch norms go by the batch.
        read: names that were asked for.
        statistics: what training makes of running statistics, by name.
    """

    tensors: dict[str, Tensor]
    training: bool
    path: str = ""
    read: set[str] = field(default_factory=set)
    statistics: dict[str, Tensor] = field(default_factory=dict)

    def at(self, path: str) -> Weights:
        """The numbers of a part."""
        return replace(self, path=f"{self.path}{path}." if path else self.path)

    def get(self, name: str) -> Tensor | None:
        """A number, or None where there is none of that name."""
        full = self.path + name
        if full not in self.tensors:
            return None
        self.read.add(full)
        return self.tensors[full]

    def __getitem__(self, name: str) -> Tensor:
        found = self.get(name)
        if found is None:
            raise LookupError(f"the composite has no {self.path}{name}")
        return found

    def standardised(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(variance + epsilon) of each channel, as a batch norm has it."""
        mean, variance = self["running_mean"], self["running_var"]
        self.get("num_batches_tracked")
        if self.training:
            others = [place for place in range(x.dim()) if place != 1]
            count = x.numel() // x.shape[1]
            ours = x.mean(others), x.var(others, unbiased=False)
            both = (mean, ours[0]), (variance, ours[1] * count / max(1, count - 1))
            for name, (old, new) in zip(("running_mean", "running_var"), both, strict=True):
                self.statistics[self.path + name] = (1 - MOMENTUM) * old + MOMENTUM * new.detach()
            mean, variance = ours
        shape = (1, -1, *[1] * (x.dim() - 2))
        return (x - mean.view(shape)) / (variance.view(shape) + EPSILON).sqrt()


def gated(gate: Tensor, x: Tensor) -> Tensor:
    """Each channel times its own number."""
    return torch.einsum("nc...,c->nc...", x, gate)


def concatenated(
    joins: Weights, own: Tensor, arriving: Sequence[Tensor], *, closed: bool
) -> Tensor:
    """A 1x1 convolution over all; where it starts closed, added through a gate."""
    weight = joins["mix.weight"][:, :, 0, 0]
    both = torch.cat([own, *arriving], 1)
    mixed = torch.einsum("nc...,oc->no...", both, weight)
    mixed = mixed + joins["mix.bias"].view(1, -1, *[1] * (both.dim() - 2))
    return own + gated(joins["gate.scale"], mixed) if closed else mixed


def adapted(kind: str, adapter: Weights, x: Tensor, target: tuple[int, ...]) -> Tensor:
    """A value as another tap's shape, by an adapter without its gate."""
    if kind in ("dense", "softmax"):
        return _dense(adapter, torch.softmax(x, 1) if kind == "softmax" else x, target)
    size = target[1:] or (1, 1)
    x = x[:, :, None, None] if x.dim() == 2 else x
    if size[0] * size[1] < x.shape[2] * x.shape[3]:  # mixes on the smaller map
        x = _mixed(kind, adapter, F.adaptive_avg_pool2d(x, size))
    else:
        x = _resized_up(_mixed(kind, adapter, x), size)
    return x if len(target) == 3 else x[:, :, 0, 0]


def _resized_up(x: Tensor, size: Sequence[int]) -> Tensor:
    return x if x.shape[2:] == tuple(size) else F.interpolate(x, tuple(size), mode="bilinear")


def _mixed(kind: str, adapter: Weights, x: Tensor) -> Tensor:
    if kind == "identity":
        return x
    if kind in ("conv1x1", "ridge", "ridge3x3"):
        return _conv(adapter.at("mix"), x)
    if kind == "block":
        return _block(adapter.at("mix"), 0, x)
    if kind == "cnn":
        inner = _block(adapter.at("mix"), 3, _block(adapter.at("mix"), 0, x))
        return _conv(adapter.at("mix.6"), inner)
    block = adapter.at("mix.block")
    beside = _affine(block.at("4"), _conv(block.at("3"), _block(block, 0, x)))
    return _conv(adapter.at("mix.linear"), x) + gated(adapter["mix.scale"], beside)


def _conv(layer: Weights, x: Tensor) -> Tensor:
    """Of odd kernel, which keeps the size."""
    weight = layer["weight"]
    return F.conv2d(x, weight, layer.get("bias"), padding=weight.shape[-1] // 2)


def _block(layers: Weights, first: int, x: Tensor) -> Tensor:
    """3x3 convolution, batch norm, ReLU, from the layer of that number on."""
    x = _conv(layers.at(str(first)), x)
    return _affine(layers.at(str(first + 1)), x).clamp(min=0)


def _affine(norm: Weights, x: Tensor) -> Tensor:
    return gated(norm["weight"], norm.standardised(x)) + norm["bias"][:, None, None]


def _dense(adapter: Weights, x: Tensor, target: tuple[int, ...]) -> Tensor:
    """The mean over positions to every number of a map of at most 8 x 8, resized."""
    x = x.mean((2, 3)) if x.dim() == 4 else x
    numbers = x @ adapter["mix.weight"].T + adapter["mix.bias"]
    if len(target) == 1:
        return numbers
    channels, *size = target
    side = [min(LARGEST_DENSE_SIDE, length) for length in size]
    return _resized_up(numbers.view(len(x), channels, *side), size)
