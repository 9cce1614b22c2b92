"""Whether a network, a task, a policy and a loss go together, told before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from convgraft.compose import Composite
from convgraft.errors import UsageError
from convgraft.plan import Plan
from convgraft.training.evaluate import answers
from convgraft.training.freeze import Freeze, work_out
from convgraft.training.objective import Loss
from convgraft.training.policies import FreezePolicy
from convgraft.training.stages import Stage
from convgraft.training.task import Task


def class_counts(task: Task) -> dict[str, int]:
    """The number of classes of each label column, the main one under the empty name."""
    return {name: len(classes) for name, classes in task.columns.items()}


def check_fit(
    composite: Composite,
    policy: FreezePolicy,
    *,
    size: int,
    columns: Mapping[str, int],
    loss: Loss | None = None,
) -> Freeze:
    """Whether a composite can learn from images of that size with those labels, and what would.

    Args:
        columns: number of classes by label column, the main one under the empty name.

    Raises UsageError where it cannot, or where nothing would learn.
    """
    plan = composite.plan
    if plan.image_size != size:
        raise UsageError(f"the network takes {plan.image_size} pixels and the images have {size}")
    image = torch.zeros(1, 3, size, size)
    for name, logits in answers(composite, image, layout=torch.contiguous_format).items():
        _check_answer(plan, name, logits.shape[1], columns)
    named = (
        {name for s in loss.stages for t in s.terms for name in (*t.of, t.to)} if loss else set()
    )
    if unknown := sorted(named - {"", *plan.outputs}):
        raise UsageError(
            f'the loss is about "{unknown[0]}", which the network does not give',
            expected=", ".join(plan.outputs),
        )
    return work_out(policy, composite)


def check_reach(composite: Composite, stages: Sequence[Stage]) -> None:
    """Whether each stage's loss reaches a weight that learns in it; raises UsageError if not."""
    size, was_training = composite.plan.image_size, composite.training
    learning = {name: weight.requires_grad for name, weight in composite.named_parameters()}
    composite.eval()
    try:
        for stage in stages:
            for name, weight in composite.named_parameters():
                weight.requires_grad_(stage.freeze.rates[name] > 0)
            outputs = composite(torch.zeros(1, 3, size, size))
            _check_stage(stage, outputs)
    finally:
        for name, weight in composite.named_parameters():
            weight.requires_grad_(learning[name])
        composite.train(was_training)


def _check_stage(stage: Stage, outputs: Mapping[str, Tensor]) -> None:
    if not any(outputs[name].requires_grad for t in stage.objective.terms for name in t.of):
        raise UsageError(
            f'nothing that learns in "{stage.name}" has a part in the loss {stage.objective}',
            hint="an adapter with weights, a policy that lets one learn, or another loss",
        )


def _check_answer(plan: Plan, name: str, classes: int, columns: Mapping[str, int]) -> None:
    column = plan.column(name)
    if column not in columns:
        raise UsageError(
            f'the answer "{name}" is about the label column "{column}"',
            expected=", ".join(filter(None, columns)) or "a column that the data has",
            hint=f"--target MAIN {column}",
        )
    if classes != columns[column]:
        raise UsageError(
            f'the answer "{name}" tells {classes} classes apart',
            expected=f"{columns[column]}, as the data has",
            hint="a head of its own, e.g. --strategy probe",
        )
