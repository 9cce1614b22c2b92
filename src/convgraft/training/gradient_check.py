"""Has autograd agree with what `convgraft.training.gradients` read off the graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from convgraft.compose import Composite
from convgraft.training.gradients import Reach, StageGradients, prepared
from convgraft.training.objective import Labels, Objective, Outputs

IMAGES = 8


@dataclass(frozen=True)
class Verified:
    """What one batch says of an analysis.

    Attributes:
        disagreements: sentences, one for each parameter and norm that behaves otherwise.
        silent: parameters whose gradient should not be zero, and is, exactly, on this batch: rare
            with many images, and no contradiction, since an activation may be off for all of them.
    """

    disagreements: tuple[str, ...]
    silent: tuple[str, ...]


def verify(
    composite: Composite,
    told: StageGradients,
    batch: tuple[Tensor, Labels] | None = None,
) -> Verified:
    """One forward and one backward pass of the stage's loss, on a copy of the composite.

    Args:
        told: what `gradients` says of this composite.
        batch: images [N, 3, S, S] and labels int64 [N] by column; random ones where not given.
    """
    network = prepared(composite, told.stage)
    before = _counts(network)
    with _own_randomness():
        images = batch[0] if batch else _random_images(network)
        outputs = network(images)
        labels = batch[1] if batch else _random_labels(network, told.stage.objective, outputs)
        losses = told.stage.objective.losses(network.plan, outputs, labels)
        loss = torch.stack(losses).sum()
        if loss.requires_grad:
            loss.backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    known = [reach for reach in told.reaches if reach.name in gradients]
    problems = [_problem(reach, gradients[reach.name]) for reach in known]
    silent = [r.name for r in known if r.receives and not r.gate and _is_zero(gradients[r.name])]
    moved = {path for path, count in _counts(network).items() if count != before[path]}
    problems += _still_or_moved(moved, told)
    return Verified(tuple(filter(None, problems)), tuple(silent))


def _problem(reach: Reach, gradient: Tensor | None) -> str:
    if reach.receives and gradient is None:
        return f"{reach.name} should receive a gradient and receives none"
    if not reach.receives and not _is_zero(gradient):
        return f"{reach.name} should receive no gradient and receives one"
    if reach.gate and not _is_zero(gradient):
        return f"{reach.name} should receive a gradient of zero and receives another one"
    return ""


def _is_zero(gradient: Tensor | None) -> bool:
    return gradient is None or not bool(gradient.any())


def _still_or_moved(moved: set[str], told: StageGradients) -> list[str]:
    expected = {path for paths in told.moving.values() for path in paths}
    return [
        *(f"the statistics of {path} should move and do not" for path in sorted(expected - moved)),
        *(f"the statistics of {path} should not move and do" for path in sorted(moved - expected)),
    ]


def _counts(network: Composite) -> dict[str, int]:
    """How many batches each norm's running statistics have seen."""
    buffers = network.named_buffers()
    seen = {name.rpartition("."): buffer for name, buffer in buffers}
    return {p: int(count) for (p, _, own), count in seen.items() if own == "num_batches_tracked"}


@contextmanager
def _own_randomness() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _random_images(network: Composite) -> Tensor:
    size = network.plan.image_size
    return torch.rand(IMAGES, 3, size, size, device=next(network.parameters()).device)


def _random_labels(network: Composite, objective: Objective, outputs: Outputs) -> Labels:
    labelled = [name for term in objective.terms if term.kind == "task" for name in term.of]
    return {
        network.plan.column(name): torch.randint(
            outputs[name].shape[1], outputs[name].shape[:1], device=outputs[name].device
        )
        for name in labelled
    }
