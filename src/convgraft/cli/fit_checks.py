"""What `convgraft fit` and `study` check before a folder is taken or an image is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from convgraft.cli.fit_steps import other_columns
from convgraft.cli.own_classes import check_own_answers
from convgraft.cli.runs_as_models import check_unseen, runs_among
from convgraft.compose import check, compose
from convgraft.data import ImageSet, Split
from convgraft.errors import ArtifactError, UsageError
from convgraft.sources import Source
from convgraft.strategies import Ingredients
from convgraft.studies import Arm
from convgraft.training import FitOptions, check_fit, task_loss
from convgraft.training.check import check_reach
from convgraft.training.stages import plan_stages


def check_data(
    main: Arm, sources: Mapping[str, Source], images: ImageSet, split: Split, *, planned: bool
) -> None:
    """Whether the join answers every label column, and no model knows the test images.

    Args:
        planned: whether the join comes from a plan file.

    Raises UsageError.
    """
    answered = {main.plan.column(name) for name in main.plan.trained}
    unread = [name for name in images.others if name not in answered]
    if unread:
        raise UsageError(
            f"{main.name} has no answer for the label column {', '.join(unread)}",
            expected=f"{images.target or 'the classes'} alone",
            hint=f'a head with "column: {unread[0]}" in the plan, or the main column alone'
            if planned
            else "--strategy multitask, or the main column alone",
        )
    check_unseen(runs_among(sources, images), images, [split], _seed_hint)


def _seed_hint(seed: int | None) -> str:
    if seed is None:
        return "images that the run has not learned from, or runs with one split"
    return f"--seed {seed}, which the run was made with: the split is then the same"


def check_arms(
    arms: Sequence[Arm],
    given: Ingredients,
    images: ImageSet,
    options: FitOptions,
    out: Path,
) -> None:
    """Every problem of every plan, policy and loss; raises UsageError, PlanError, ArtifactError."""
    for name, one in given.sources.items():
        if one.pending and out.resolve() in one.pending.path.resolve().parents:
            raise ArtifactError(
                f'source "{name}" is read from "{out}", which is to be written',
                hint="another --out",
            )
    for arm in arms:
        check(arm.plan, arm.sources, name=f"the plan of {arm.name}")
    for arm in arms:
        check_arm(arm, images, given.image_size, options)


def check_arm(arm: Arm, images: ImageSet, size: int, options: FitOptions) -> None:
    """Whether an arm whose plan is sound can learn what it is to learn; raises UsageError."""
    check_own_answers(arm.plan, arm.sources, images)
    network = compose(arm.plan, arm.sources)
    columns = {"": len(images.classes), **other_columns(images)}
    loss = arm.loss or task_loss(arm.plan)
    check_fit(network, arm.policy, size=size, columns=columns, loss=loss)
    if arm.solved:
        return
    check_reach(network, plan_stages(network, arm.policy, loss, options))
