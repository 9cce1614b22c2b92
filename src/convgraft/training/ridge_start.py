"""Adapters that begin as the best linear map: `adapter: ridge`, and wires with `start: ridge`.

The adapter's convolution is set to the least-squares map from the tap it starts from to what the
target's own network computes there, over training images, before a gradient step is taken. A kernel
larger than 1x1 is solved for over patches: each position and its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.compose import AdapterPart, Composite, compose
from convgraft.errors import RunError, UsageError
from convgraft.layers import ADAPTERS
from convgraft.match import PairMoments, solve_ridge
from convgraft.match.grids import as_map, rows
from convgraft.plan import Head, Plan, Wire

IMAGES = 5000
NUMBERS = 2**24  # values of patches held at once
WORK = 2e11  # multiplications after which positions are drawn and not all used
ROWS_PER_FEATURE = 20  # that are used in any case, as far as there are as many
Progress = Callable[[int, int], None]


def start_adapters(
    composite: Composite,
    images: Tensor | Callable[[], Tensor],
    count: int = IMAGES,
    on_progress: Progress | None = None,
) -> None:
    """Solve for every adapter that least squares fill in, in place; the first images do.

    Args:
        composite: wires with an adapter `ridge` or `ridge3x3`, or with `start: ridge`, are solved
            for; others stay as they are.
        images: training images, uint8 [N, 3, S, S], or what gives them if they are needed.
        count: how many of them are used at most.
        on_progress: called with (images done, images in all), for each adapter anew.

    Raises:
        UsageError: where a wire with `start: ridge` has an adapter without a linear part.
        RunError: where a tap gives numbers that are not finite.
    """
    wires = zip(composite.plan.wires, composite.resolved.adapters, strict=True)
    there = {path for path, _ in composite.named_modules()}  # what no answer needs is pruned
    first: Tensor | None = None
    for wire, (part, *_) in wires:
        solved = wire.start == "ridge" or ADAPTERS[wire.adapter].solved
        if solved and f"adapters.{part.name}" in there:
            if first is None:
                first = (images() if callable(images) else images)[:count]
            _start(composite, wire, part, first, on_progress)


@torch.no_grad()
def _start(
    composite: Composite,
    wire: Wire,
    part: AdapterPart,
    images: Tensor,
    on_progress: Progress | None,
) -> None:
    adapter = composite.get_submodule(f"adapters.{part.name}")
    linear = linear_part(adapter)
    pair = _pair(composite, wire)
    total: PairMoments | None = None
    batch = _batch(part, linear)
    drawn = _positions(part, linear, len(images))
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(images), batch):
        outputs = pair(images[start : start + batch])
        here = _predictors(adapter, linear, as_map(outputs["here"])).flatten(2)
        there = as_map(outputs["there"]).flatten(2)
        if drawn < here.shape[2]:
            chosen = torch.rand(len(here), here.shape[2], generator=generator).argsort(1)[:, :drawn]
            here, there = (
                v.gather(2, chosen[:, None].expand(-1, v.shape[1], -1)) for v in (here, there)
            )
        _check_finite(wire, here, there)
        moments = PairMoments.of(rows(here), rows(there))
        total = moments if total is None else total + moments
        if on_progress:
            on_progress(min(start + batch, len(images)), len(images))
    if total is None:
        raise UsageError("there are no images to start adapters from", expected="one at least")
    ridge = solve_ridge(total)
    linear.weight.copy_(ridge.weight.view_as(linear.weight))
    if linear.bias is not None:
        linear.bias.copy_(ridge.bias)


def _check_finite(wire: Wire, *values: Tensor) -> None:
    if not all(value.isfinite().all() for value in values):
        raise RunError(
            f"the adapter of {wire} cannot be solved for",
            expected="finite values at both taps",
            found="infinite numbers, or such that are none (NaN)",
            hint="other taps, or a look at the weights of these networks",
        )


def linear_part(adapter: nn.Module) -> nn.Conv2d:
    """The convolution of an adapter that can be solved for; raises UsageError without one."""
    mix = getattr(adapter, "mix", None)
    found = mix if isinstance(mix, nn.Conv2d) else getattr(mix, "linear", None)
    if not isinstance(found, nn.Conv2d):
        raise UsageError(
            "only a linear adapter can start from least squares",
            expected="adapter: conv1x1 or residual, where a wire has start: ridge",
            hint="start: one",
        )
    return found


def _positions(part: AdapterPart, linear: nn.Conv2d, images: int) -> int:
    """How many positions of each image are used: all, unless the products would take too long."""
    features = linear.weight[0].numel()
    wanted = max(WORK / features**2, ROWS_PER_FEATURE * features)
    return min(_places(part.shape_out), math.ceil(wanted / max(images, 1)))


def _batch(part: AdapterPart, linear: nn.Conv2d) -> int:
    """How many images make patches that fit in memory."""
    places = max(_places(part.shape_in), _places(part.shape_out))
    return max(1, min(128, NUMBERS // (linear.weight[0].numel() * places)))


def _places(shape: tuple[int, ...]) -> int:
    height, width = shape[1:] or (1, 1)
    return height * width


def _pair(composite: Composite, wire: Wire) -> Composite:
    """Both taps as their own networks compute them."""
    here, there = wire.inputs[0], wire.target
    plan = composite.plan
    refs = tuple(ref for ref in plan.sources if ref.name in (here.source, there.source))
    heads = (Head("here", "tap", (here,)), Head("there", "tap", (there,)))
    opened = composite.resolved.checked.sources
    small = Plan(plan.image_size, refs, (), heads)
    return compose(small, {ref.name: opened[ref.name] for ref in refs}).eval()


def _predictors(adapter: nn.Module, linear: nn.Conv2d, value: Tensor) -> Tensor:
    """What the convolution's weights multiply, on the target's grid: [N, C_in * k * k, H, W].

    A resize that follows the convolution is linear and may as well come before it.
    """
    resize = getattr(adapter, "resize", None)
    names = [name for name, _ in adapter.named_children()]
    first = resize is not None and names.index("resize") < names.index("mix")
    if resize is None:
        return _patches(linear, value)
    return _patches(linear, resize(value)) if first else resize(_patches(linear, value))


def _patches(linear: nn.Conv2d, value: Tensor) -> Tensor:
    """Each position with its neighbours, as the convolution sees them, its zeros included."""
    if linear.kernel_size == (1, 1):
        return value
    unfolded = F.unfold(value, linear.kernel_size, padding=linear.padding)  # pyright: ignore
    return unfolded.view(len(value), -1, *value.shape[2:])
