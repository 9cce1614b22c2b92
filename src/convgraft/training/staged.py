"""Run a confidence cascade in stages: each network sees the images that all before left open."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convgraft.compose import Composite, cost
from convgraft.errors import UsageError
from convgraft.layers.fitted_votes import CascadeHead
from convgraft.plan import Head
from convgraft.training.evaluate import answers
from convgraft.training.members import member_name, member_network


@dataclass(frozen=True)
class StageRun:
    """One network's part in a cascade.

    Attributes:
        images: how many came to it.
        share: of all images.
        macs: of the network, an image.
        seconds: that it took.
    """

    name: str
    images: int
    share: float
    macs: int
    seconds: float


@dataclass(frozen=True, eq=False)
class StagedResult:
    """What a cascade answered, and what it spent.

    Attributes:
        logits: [N, classes], as the cascade head answers.
        stages: in the order they ran.
    """

    logits: Tensor
    stages: tuple[StageRun, ...]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the images that came to each member."""
        return {stage.name: stage.share for stage in self.stages}

    @property
    def macs_per_image(self) -> float:
        """Mean MACs of an image."""
        return sum(stage.share * stage.macs for stage in self.stages)

    @property
    def macs_of_all(self) -> int:
        """MACs of an image that every member sees."""
        return sum(stage.macs for stage in self.stages)

    @property
    def seconds(self) -> float:
        """That all stages took."""
        return sum(stage.seconds for stage in self.stages)


def staged_answers(
    composite: Composite,
    images: Tensor,
    batch_size: int = 128,
    *,
    answer: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> StagedResult:
    """Answer images [N, 3, S, S] by a cascade that runs later members only where it must.

    The answers are those of the composite's cascade head, whose members all run on all images.

    Args:
        answer: the cascade head; the plan's main answer by default.
        on_progress: called with images done and images in all, where an image is done when a
            member is sure of it.

    Raises UsageError where that answer is no cascade.
    """
    head, module = _cascade(composite, answer or composite.plan.answer)
    networks = [member_network(composite, ref).eval() for ref in head.inputs]
    names = [member_name(ref) for ref in head.inputs]
    open_ones, found = torch.arange(len(images)), None
    stages: list[StageRun] = []
    for place, (name, network) in enumerate(zip(names, networks, strict=True)):
        started = time.perf_counter()
        shown = images if len(open_ones) == len(images) else images[open_ones]
        logs = _logs(network, shown, batch_size) if len(shown) else None
        seconds = time.perf_counter() - started
        share = len(open_ones) / max(len(images), 1)
        stages.append(StageRun(name, len(open_ones), share, cost(network).macs, seconds))
        if logs is None:
            continue
        if found is None:
            found = torch.empty(len(images), logs.shape[1])
        found[open_ones] = logs
        if place < len(networks) - 1:
            open_ones = open_ones[~module.sure(place, logs)[:, 0]]
        if on_progress:
            on_progress(len(images) - len(open_ones), len(images))
    if found is None:
        raise UsageError("there are no images to answer")
    return StagedResult(found, tuple(stages))


def _cascade(composite: Composite, answer: str) -> tuple[Head, CascadeHead]:
    """The head, and its module on the CPU."""
    head = next((one for one in composite.plan.heads if one.name == answer), None)
    if head is None or head.kind != "cascade":
        raise UsageError(
            f'the answer "{answer}" is no confidence cascade',
            expected="a head of kind cascade",
            found=head.kind if head else "no such head",
        )
    trained = composite.get_submodule(f"heads.{answer}")
    assert isinstance(trained, CascadeHead)
    module = CascadeHead(len(head.inputs), 0)
    module.thresholds.copy_(trained.thresholds)
    return head, module


def _logs(network: Composite, images: Tensor, batch_size: int) -> Tensor:
    found = answers(network, images, batch_size=batch_size)[network.plan.answer]
    return found.log_softmax(1)
