"""A trained network as fast as PyTorch runs it on this machine, with the composite's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from convgraft.cache.fast import FastVersion, fast_version
from convgraft.compose import Composite
from convgraft.errors import RunError
from convgraft.export.onednn_graph import FusedGraph, fused_graph, key_of
from convgraft.export.simplified import Simplification, simplify

TOLERANCE = 1e-4
SAMPLE = 8


class Optimized(nn.Module):
    """What `optimized` gives: images [N, 3, S, S] to a dict of answers, for inference alone.

    Answers are inference tensors; it stays in evaluation mode, and where it was made. Threads may
    call it at the same time. Packed weights cannot be saved: keep the run, and make it anew.

    Attributes:
        network: what computes the answers, as a tuple, for any images.
        answers: their names, in that order.
        fused: by shape and type of images, what computes them faster.
        steps: what was done to the composite, in words.
        difference: largest from the composite on the sample, over the largest logit.
    """

    def __init__(
        self,
        network: FastVersion,
        answers: tuple[str, ...],
        fused: Sequence[FusedGraph] = (),
        steps: tuple[str, ...] = (),
        difference: float = 0.0,
    ) -> None:
        super().__init__()
        self.network, self.answers = network, answers
        self.fused = {graph.key: graph for graph in fused}
        self.steps, self.difference = steps, difference
        self.train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """[N, 3, S, S], uint8 or float in [0, 1], to logits [N, classes] by answer."""
        network = self.fused.get(key_of(images), self.network)
        return dict(zip(self.answers, network(images), strict=True))

    def train(self, mode: bool = True) -> Optimized:
        """Does nothing: what was folded cannot be trained."""
        super().train(False)
        return self


def optimized(
    composite: Composite, sample: Tensor | None = None, *, compile: bool = False
) -> Optimized:
    """A trained network made fast: simplified, channels last, with packed convolutions.

    The composite is not changed. On CPUs every convolution computes what follows it, by oneDNN, on
    weights laid out beforehand; no compiler is needed. What fails on the sample, or gives other
    values there, is left out. For as many images as the sample has, and for one alone, there is a
    faster form yet (`convgraft.export.onednn_graph`); any other number is right too.

    Args:
        sample: images, uint8 or float in [0, 1], [N, 3, S, S], on the device to run on, as many as
            will run at once; 8 of noise, uint8, by default. What is made is checked on them.
        compile: go through `torch.compile` too, which takes a C++ compiler and a minute; kept where
            it is faster.

    Raises RunError where the values are not those of the composite within 1e-4.

    >>> fast = optimized(convgraft.load("runs/x").composite)        # doctest: +SKIP
    >>> fast(images)["label"].softmax(1)                            # doctest: +SKIP
    """
    images = noise(composite, SAMPLE) if sample is None else sample
    done = simplify(composite, settled=False)
    front, answers = _with_tuple(done.network.to(images.device))
    fast = fast_version(front, images, compile=compile)
    fused = [] if compile else [fused_graph(front, part) for part in _likely(images)]
    made = Optimized(fast, answers, [graph for graph in fused if graph is not None])
    made.steps = _steps(done, made)
    made.difference = max(difference(composite, made, part) for part in _likely(images))
    if not made.difference <= TOLERANCE:
        raise RunError(
            "the optimised network gives other values than the composite",
            expected=f"a difference of at most {TOLERANCE:g} of the largest logit",
            found=f"{made.difference:.2g}",
            hint="an issue with the plan in it; the composite itself runs as it is",
        )
    return made


def _likely(sample: Tensor) -> list[Tensor]:
    """Images as they will come: as many as the sample has, and one alone."""
    return [sample, sample[:1]] if len(sample) > 1 else [sample]


def noise(composite: Composite, count: int) -> Tensor:
    """Images of the composite's size to try things on, uint8 [count, 3, S, S]."""
    size = composite.plan.image_size
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=drawn)


@torch.inference_mode()
def difference(composite: Composite, other: nn.Module, images: Tensor) -> float:
    """The largest difference of any answer on some images, over the largest of its logits."""
    was_training = composite.training
    composite.eval()
    try:
        expected: Mapping[str, Tensor] = composite(images)
    finally:
        composite.train(was_training)
    worst = 0.0
    for name, values in other(images).items():
        largest = expected[name].abs().max().item() or 1.0
        apart = (values - expected[name]).abs().max().item() / largest
        worst = apart if apart != apart else max(worst, apart)
    return worst


def _with_tuple(network: fx.GraphModule) -> tuple[fx.GraphModule, tuple[str, ...]]:
    """The same graph with a tuple for the dict of answers, and their names."""
    graph = fx.Graph()
    answers = graph.graph_copy(network.graph, {})
    assert isinstance(answers, dict)
    graph.output(tuple(answers.values()))
    return fx.GraphModule(network, graph, class_name="Front"), tuple(map(str, answers))


def _steps(done: Simplification, made: Optimized) -> tuple[str, ...]:
    """What was done, each a line for people."""
    fast = made.network
    counts = " or ".join(str(shape[0]) for shape, _ in sorted(made.fused, key=str))
    layout = "channels last" if fast.layout is torch.channels_last else "channels first"
    told = {
        f"{done.shared} equal layers run once": done.shared,
        f"{done.batch_norms} batch norms folded": done.batch_norms,
        f"{len(done.adapters)} adapters folded": done.adapters,
        f"{len(done.shut)} shut gates left out: {', '.join(done.shut)}": done.shut,
        "convolutions packed with what follows them": "packed" in fast.steps,
        layout: fast.steps,
        "compiled": "compiled" in fast.steps,
        f"for {counts} images at once: partitions of oneDNN Graph": made.fused,
    }
    return tuple(step for step, holds in told.items() if holds)
