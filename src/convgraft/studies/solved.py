"""Arms that take no gradient step: adapters are least-squares maps, and all the rest is given."""

from __future__ import annotations

from collections.abc import Callable

from convgraft.compose import Composite, compose, keep_answers
from convgraft.errors import UsageError
from convgraft.layers import ADAPTERS
from convgraft.plan.values import LEARNED_HEADS
from convgraft.studies.arms import Arm
from convgraft.training import PRESETS, Task, start_adapters, start_ridge_heads
from convgraft.training.ridge_heads import RIDGE


def check_solvable(arm: Arm) -> None:
    """Whether least squares can fill in all that is new; raises UsageError.

    A gate at zero hides what is behind it, so a gated adapter need not be solved for.
    """
    kept = arm.loss.keep if arm.loss and arm.loss.keep else arm.plan.answers
    plan = arm.plan.keeping(kept)
    heads = [head.name for head in plan.heads if head.kind in LEARNED_HEADS and head.kind != RIDGE]
    if heads:
        raise UsageError(
            f'the head "{heads[0]}" is new and has to be trained',
            expected="the networks' own classifiers or ridge heads, where nothing is trained",
            hint="--classifier own, or --head ridge",
        )
    for wire in plan.wires:
        kind = ADAPTERS[wire.adapter]
        random = wire.start == "one" and kind.changes_channels and not kind.solved
        if random:
            raise UsageError(
                f"the adapter of {wire} would stay random, as nothing is trained",
                expected="adapter: ridge or ridge3x3, or start: ridge",
                found=f"adapter: {wire.adapter}",
            )


def needs_no_training(arm: Arm) -> bool:
    """Whether least squares fill in all that its policy would let learn."""
    heads = [head for head in arm.plan.heads if head.kind in LEARNED_HEADS]
    solved = bool(heads) and all(head.kind == RIDGE for head in heads) and not arm.plan.wires
    return solved and arm.policy == PRESETS["heads-only"]


def solve_arm(
    arm: Arm, task: Task, seed: int = 0, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Composite, dict[str, float]]:
    """The network of an arm, solved from all training images, and the penalties of its heads."""
    network = compose(arm.plan, arm.sources, seed=seed)
    count = len(task.split.train)
    images = lambda: task.pixels("train").images  # noqa: E731 - asked for by adapters alone
    start_adapters(network, images, count=count, on_progress=on_progress)
    penalties = start_ridge_heads(network, task, seed, on_progress)
    keep = arm.loss.keep if arm.loss and arm.loss.keep else arm.plan.answers
    return keep_answers(network, keep).eval(), penalties
