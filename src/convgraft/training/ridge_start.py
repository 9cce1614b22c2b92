"""Adapters that begin as the best linear map: wires with `start="ridge"`.

The adapter's 1x1 convolution is set to the least-squares map from the tap it starts from to what
the target's own network computes there, over training images, before a gradient step is taken.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convgraft.compose import AdapterPart, Composite, compose
from convgraft.errors import UsageError
from convgraft.match import RidgeMoments
from convgraft.plan import Head, Plan, Wire

IMAGES = 5000
BATCH = 128


def start_adapters(composite: Composite, images: Tensor) -> None:
    """Solve for every adapter on a ridge-started wire, in place; the first `IMAGES` images do."""
    wires = zip(composite.plan.wires, composite.resolved.adapters, strict=True)
    for wire, (part, *_) in wires:
        if wire.start == "ridge":
            _start(composite, wire, part, images[:IMAGES])


@torch.no_grad()
def _start(composite: Composite, wire: Wire, part: AdapterPart, images: Tensor) -> None:
    adapter = composite.get_submodule(f"adapters.{part.name}")
    linear = linear_part(adapter)
    pair = _pair(composite, wire)
    moments = RidgeMoments(part.shape_in[0], part.shape_out[0])
    for start in range(0, len(images), BATCH):
        outputs = pair(images[start : start + BATCH])
        here = _resized(adapter, _as_map(outputs["here"]))
        moments.add(here, _as_map(outputs["there"]))
    weight, bias = moments.solve()
    linear.weight.copy_(weight[:, :, None, None])
    if linear.bias is not None:
        linear.bias.copy_(bias)


def linear_part(adapter: nn.Module) -> nn.Conv2d:
    """The 1x1 convolution of an adapter; raises UsageError where it has none."""
    mix = getattr(adapter, "mix", None)
    found = mix if isinstance(mix, nn.Conv2d) else getattr(mix, "linear", None)
    if not isinstance(found, nn.Conv2d):
        raise UsageError(
            "only a linear adapter can start from least squares",
            expected="adapter: conv1x1 or residual, where a wire has start: ridge",
            hint="start: one",
        )
    return found


def _pair(composite: Composite, wire: Wire) -> Composite:
    """Both taps as their own networks compute them."""
    here, there = wire.inputs[0], wire.target
    plan = composite.plan
    refs = tuple(ref for ref in plan.sources if ref.name in (here.source, there.source))
    heads = (Head("here", "tap", (here,)), Head("there", "tap", (there,)))
    opened = composite.resolved.checked.sources
    small = Plan(plan.image_size, refs, (), heads)
    return compose(small, {ref.name: opened[ref.name] for ref in refs}).eval()


def _as_map(value: Tensor) -> Tensor:
    return value if value.dim() == 4 else value[:, :, None, None]


def _resized(adapter: nn.Module, value: Tensor) -> Tensor:
    """The adapter's resize alone; being linear, it may as well come before a 1x1 convolution."""
    resize = getattr(adapter, "resize", None)
    return value if resize is None else resize(value)
