"""A frozen graph as fast as this machine runs it, with the same outputs.

Several ways are tried on a sample of images, the fastest kind first, and the first that gives the
same values is taken: on CPUs with convolutions that compute what follows them
(`convgraft.cache.fused`), then what holds on every device (batch norm folded, preprocessing as one
step, nothing idle, values overwritten once nobody reads them); maps with channels last, then first.
Where that is asked for, all of them are timed, compiled too, and the fastest is taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from convgraft.cache.batch_norm_folding import fold_batch_norms
from convgraft.cache.compiled import Compiled
from convgraft.cache.concatenations import split_concatenations
from convgraft.cache.fused import can_pack, pack_convolutions
from convgraft.cache.in_place import write_in_place
from convgraft.cache.pooled_sums import pool_by_sums
from convgraft.cache.simplify import fold_preprocessing, lay_out_kernels, remove_idle
from convgraft.cache.tuning import Tuning, timed, tune

__all__ = ["FastVersion", "Tuning", "fast_version", "tune"]

TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
LAYOUTS = (torch.channels_last, torch.contiguous_format)
TRIES = 2
Values = tuple[Tensor, ...]


class FastVersion(nn.Module):
    """What `fast_version` gives: images [N, 3, S, S] to a tuple of values, in inference mode.

    The values are inference tensors: `clone` what is to be trained on.

    Attributes:
        network: what computes them.
        layout: how images are laid out before it.
        dtype: what it computes in; values of another kind come out as the given graph's would.
        steps: what was done to the graph, in words; empty where it runs as it was.
    """

    def __init__(
        self,
        network: nn.Module,
        layout: torch.memory_format,
        dtype: torch.dtype,
        steps: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.network, self.layout, self.dtype, self.steps = network, layout, dtype, steps

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Values:
        """[N, 3, S, S], uint8 or float in [0, 1], on the device of the sample."""
        images = images.contiguous(memory_format=self.layout)
        if self.dtype is torch.float32:
            return self.network(images)
        with torch.autocast(images.device.type, self.dtype):
            values = self.network(images)
        return tuple(v.float() if v.dtype is self.dtype else v for v in values)


def fast_version(
    front: fx.GraphModule,
    sample: Tensor,
    *,
    compile: bool = False,
    thorough: bool = False,
    dtype: torch.dtype = torch.float32,
) -> FastVersion:
    """A new module that computes what `front` does, as fast as can be had.

    In float32 its values are within 1e-5 of the largest one. A way of being faster that fails on
    the sample, or differs there by more, is left out; the last resort is to run `front` as it is.
    `front` is not changed; weights that stay as they are are shared.

    Args:
        front: a frozen graph in evaluation mode; images in, a tuple of tensors out.
        sample: a few images, uint8 or float in [0, 1], [N, 3, S, S], on the device to run on;
            what is made is checked and timed on them, so let them be as many as will run at once.
            Noise stands in for images that are all one grey.
        thorough: time every way that is right, for many images, instead of taking the first.
        compile: try `torch.compile` too: worth its time on accelerators and for many images.
        dtype: of the arithmetic; `torch.bfloat16` runs under autocast, for accelerators.
    """
    sample = _telling(sample)
    eager = FastVersion(front, torch.contiguous_format, torch.float32)
    expected = eager(sample)
    ways = [partial(_folded, layout=layout, dtype=dtype) for layout in LAYOUTS]
    if dtype is torch.float32 and can_pack(sample):
        ways = [*(partial(_packed, layout=layout) for layout in LAYOUTS), *ways]
    tried = (_tried(way, front, sample, expected) for way in ways)
    made = list(islice(filter(None, tried), None if thorough else 1))
    if compile:
        made += [one for plain in made[:1] if (one := _tried(_compiled, plain, sample, expected))]
    return _fastest(made, sample) if made else eager


def _tried(
    way: Callable[[Any, Tensor], FastVersion], given: Any, sample: Tensor, expected: Values
) -> FastVersion | None:
    """What a way makes, where it works and gives the right values."""
    # Whatever a network, a device or a build of PyTorch does not bear, another way may.
    with contextlib.suppress(Exception):
        made = way(given, sample)
        if _differs_by(made(sample), expected) <= TOLERANCE.get(made.dtype, 1e-5):
            return made
    return None


def _telling(sample: Tensor) -> Tensor:
    """The sample, or noise of its kind where it is so plain that mistakes would not show."""
    if not sample.numel() or sample.min() != sample.max():
        return sample
    drawn = torch.randint(0, 256, sample.shape, generator=torch.Generator().manual_seed(0))
    drawn = drawn.to(sample.device)
    return drawn.to(torch.uint8) if sample.dtype is torch.uint8 else drawn.to(sample.dtype) / 255


def _fastest(made: Sequence[FastVersion], sample: Tensor) -> FastVersion:
    """That of the shortest call; they take turns, so that a busy moment is nobody's fault."""
    if len(made) == 1:
        return made[0]
    rounds = [[timed(one, sample) for one in made] for _ in range(TRIES)]
    shortest = [min(times) for times in zip(*rounds, strict=True)]
    return made[shortest.index(min(shortest))]


def _folded(
    front: fx.GraphModule, sample: Tensor, *, layout: torch.memory_format, dtype: torch.dtype
) -> FastVersion:
    network = _simplified(front)
    lay_out_kernels(network, layout)
    _with_shapes(network, sample, layout)
    write_in_place(network)
    return FastVersion(network, layout, dtype, ("folded",))


def _packed(front: fx.GraphModule, sample: Tensor, *, layout: torch.memory_format) -> FastVersion:
    network = _simplified(front)
    _with_shapes(network, sample, layout)
    split_concatenations(network)
    pack_convolutions(network)
    write_in_place(network)
    network.delete_all_unused_submodules()
    return FastVersion(network, layout, torch.float32, ("folded", "packed"))


def _compiled(plain: FastVersion, sample: Tensor) -> FastVersion:
    network = Compiled(plain.network)
    made = FastVersion(network, plain.layout, plain.dtype, (*plain.steps, "compiled"))
    made(sample)
    if network.failure is not None:
        raise network.failure
    return made


def _simplified(front: fx.GraphModule) -> fx.GraphModule:
    """A copy of the graph, sharing weights, without what can be worked out beforehand."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(front.graph, {}))
    network = fx.GraphModule(front, graph, class_name="Fast")
    remove_idle(network)
    fold_batch_norms(network)
    fold_preprocessing(network)
    pool_by_sums(network)
    return network


@torch.inference_mode()
def _with_shapes(network: fx.GraphModule, sample: Tensor, layout: torch.memory_format) -> None:
    """Notes the shape of every node's value on the node."""
    ShapeProp(network).propagate(sample.contiguous(memory_format=layout))


def _differs_by(values: Values, expected: Values) -> float:
    """The largest difference of any two values, over the largest value of its tensor."""
    if [v.shape for v in values] != [e.shape for e in expected]:
        return float("inf")
    worst = 0.0
    for value, one in zip(values, expected, strict=True):
        if not one.numel():
            continue
        largest = one.abs().max().double().item()
        difference = (value.double() - one.double()).abs().max().item()
        worst = max(worst, difference / largest if largest else difference)
        if difference != difference:
            return float("inf")
    return worst
