"""Heads in closed form: a `ridge` head is a linear one, solved for and not trained.

What the head reads is gathered in one pass over the training images. Its weights are the ridge
regression onto one-hot labels with the penalty of the least leave-one-out error, scaled so that
their softmax has the least leave-one-out NLL, which changes no top-1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from convgraft.cache.stored import StoredValues
from convgraft.compose import Composite
from convgraft.data import MISSING, Pixels
from convgraft.data.seeding import shuffled
from convgraft.errors import RunError, UsageError
from convgraft.opening.memory_format import fastest_format
from convgraft.plan import Head
from convgraft.training.closed_form import NORM_EPSILON, Kernel, solve, temperature, weights_of
from convgraft.training.evaluate import answers, over_ranks
from convgraft.training.read_inputs import read_inputs

RIDGE = "ridge"
MOST_IMAGES = 2000  # that the penalty is chosen on: the time for that grows by their cube


def start_heads(
    composite: Composite,
    pixels: Pixels | StoredValues,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Solve for every `ridge` head, in place; the penalty of each, as a share of the variance.

    Args:
        composite: or the rest of one, behind its frozen part.
        pixels: training images and their labels, or for a rest the stored values that it takes.
        seed: of the draw of images that penalties are chosen on, where there are many.
        on_progress: called with the images done and their number.
    """
    heads = [head for head in composite.plan.heads if head.kind == RIDGE]
    if not heads:
        return {}
    read = _gather(composite, [head.name for head in heads], pixels, on_progress)
    return {head.name: _solve(composite, head, read[head.name], pixels, seed) for head in heads}


def _gather(
    composite: Composite,
    heads: list[str],
    images: Pixels | StoredValues,
    on_progress: Callable[[int, int], None] | None,
) -> dict[str, Tensor]:
    """What each head standardises, [N, C]: its inputs, pooled and concatenated."""
    layout = torch.contiguous_format
    if isinstance(images, Pixels):
        layout = fastest_format(composite)  # found by a trial that must not be gathered
    rows: dict[str, list[Tensor]] = {name: [] for name in heads}
    norms = {f"heads.{name}.norm": read for name, read in rows.items()}
    composite.eval()
    with read_inputs(composite, norms, _copied, lambda path, value: norms[path].append(value)):
        answers(composite, images, layout=layout, on_progress=on_progress, gather=False)
    return over_ranks(images.images if isinstance(images, Pixels) else images, rows)


def _copied(values: Tensor) -> Tensor:
    return values.cpu().clone()


@torch.no_grad()
def _solve(
    composite: Composite, head: Head, read: Tensor, pixels: Pixels | StoredValues, seed: int
) -> float:
    labels = pixels.columns[head.column]
    known = labels != MISSING
    if not known.any():
        raise UsageError(f'the head "{head.name}" has no labelled image to be solved on')
    if not read.isfinite().all():
        raise RunError(
            f'the head "{head.name}" reads numbers that are infinite or none',
            expected="finite values at " + ", ".join(map(str, head.inputs)),
            hint="other taps, or a look at the weights of these networks",
        )
    x, labels = read[known].double(), labels[known]
    module: Any = composite.get_submodule(f"heads.{head.name}")
    mean, variance = x.mean(0), x.var(0) if len(x) > 1 else torch.ones(x.shape[1])
    module.norm.running_mean.copy_(mean)
    module.norm.running_var.copy_(variance)
    x = module.scale * (x - mean) / (variance + NORM_EPSILON).sqrt()
    classes = module.classifier.out_features
    chosen = torch.from_numpy(shuffled(len(x), seed)[:MOST_IMAGES])
    some = x[chosen] - x[chosen].mean(0)
    scores = solve(Kernel.plain(some, some[:0]), labels[chosen], classes)
    weight, bias = weights_of(x, labels, classes, scores.penalty)
    scale = temperature(scores, labels[chosen])
    module.classifier.weight.copy_(scale * weight)
    module.classifier.bias.copy_(scale * bias)
    return scores.penalty
