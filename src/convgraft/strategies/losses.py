"""The loss table: one row a loss, each a file that turns a recipe into another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from convgraft.errors import UsageError, near_miss
from convgraft.plan import Plan
from convgraft.sources import Source
from convgraft.strategies.co_learning import co_learning
from convgraft.strategies.distil import distil_loss
from convgraft.strategies.ingredients import Ingredients
from convgraft.strategies.matching import final, mse, two_stage
from convgraft.strategies.recipe import Recipe
from convgraft.training import Loss, Objective, task_loss
from convgraft.training.balance import BALANCES


def task(recipe: Recipe, given: Ingredients) -> Recipe:
    """The cross-entropy of every trained answer; several columns are judged together."""
    plan = recipe.plan
    several = len({plan.column(name) for name in plan.trained}) > 1
    judged = plan.trained if several else ()
    return replace(recipe, loss=replace(task_loss(plan), judged=judged))


LOSSES: Mapping[str, Callable[[Recipe, Ingredients], Recipe]] = {
    "task": task,
    "mse": mse,
    "final": final,
    "two-stage": two_stage,
    "co-learning": co_learning,
    "distil": distil_loss,
}


def write_recipe(
    plan: Plan, sources: Mapping[str, Source], given: Ingredients, loss: str = "task"
) -> Recipe:
    """A plan under one of the losses; raises UsageError where they do not go together."""
    if loss not in LOSSES:
        raise UsageError(
            f'there is no loss called "{loss}"',
            expected=", ".join(LOSSES),
            hint=near_miss(loss, LOSSES),
        )
    return LOSSES[loss](Recipe.plain(plan, sources), given)


def weighed(loss: Loss, plan: Plan, balance: str, weights: Mapping[str, float]) -> Loss:
    """A loss whose task terms are weighed: by `balance`, and by a weight for each label column."""
    if balance not in BALANCES:
        raise UsageError(
            f'losses cannot be balanced by "{balance}"',
            expected=", ".join(BALANCES),
            hint=near_miss(balance, BALANCES),
        )
    if balance != "constant" and not any(map(_is_several_tasks, loss.stages)):
        raise UsageError(
            f"{balance} balances the losses of several tasks",
            expected="two label columns or more, as --strategy multitask learns them",
            found=f"the loss {loss}",
        )
    known = {plan.column(name): name for name in plan.trained}
    if unknown := sorted(set(weights) - set(known)):
        raise UsageError(
            f'no answer is about the label column "{unknown[0]}"',
            expected=", ".join(column or "the main column" for column in known),
        )
    stages = [
        replace(
            stage,
            balance=balance if _is_several_tasks(stage) else stage.balance,
            terms=tuple(
                replace(term, weight=weights.get(plan.column(term.of[0]), term.weight))
                if term.kind == "task"
                else term
                for term in stage.terms
            ),
        )
        for stage in loss.stages
    ]
    return replace(loss, stages=tuple(stages))


def _is_several_tasks(stage: Objective) -> bool:
    return len(stage.terms) > 1 and all(term.kind == "task" for term in stage.terms)
