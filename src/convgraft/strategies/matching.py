"""Losses for stitched networks: come near what the back's own network computes.

    mse        the adapted value against the tap that it replaces, in the back's own network
    final      the same at the back's penultimate layer, and its logits where the answer is its own
    two-stage  mse, then the task

The back's own network stands beside the stitch as a frozen teacher and is gone after training.
Where the answer is a new head's, its classifier is trained in a stage of its own, after matching.
"""

from __future__ import annotations

from dataclasses import replace

from convgraft.errors import UsageError
from convgraft.plan import Head, TapRef, Wire
from convgraft.strategies.ingredients import Ingredients
from convgraft.strategies.recipe import Recipe
from convgraft.training import Loss, Objective, Term, task_loss

HEADS_ONLY = "heads-only"


def mse(recipe: Recipe, given: Ingredients) -> Recipe:
    """MSE(H, r(G)) at every replaced tap H."""
    matched, terms = _match_taps(recipe)
    return _finish(matched, "mse", Objective(terms), last=_classifier(recipe))


def final(recipe: Recipe, given: Ingredients) -> Recipe:
    """MSE at the back's features, and KL to its logits where those are the answer."""
    matched, terms = _match_features(recipe, given)
    return _finish(matched, "final", Objective(terms), last=_classifier(recipe))


def two_stage(recipe: Recipe, given: Ingredients) -> Recipe:
    """MSE(H, r(G)), then the task."""
    matched, terms = _match_taps(recipe)
    return _finish(matched, "two-stage", Objective(terms), last=task_loss(recipe.plan).stages[0])


def _replacing(recipe: Recipe) -> list[Wire]:
    wires = [wire for wire in recipe.plan.wires if wire.join == "replace"]
    if not wires:
        raise UsageError(
            "a matching loss compares with what a wire replaces",
            expected="a plan with a replace wire, as --strategy stitch writes it",
            found="none",
            hint="convgraft fit DATA --models A B --strategy stitch --out RUN makes one",
        )
    return wires


def _match_taps(recipe: Recipe) -> tuple[Recipe, tuple[Term, ...]]:
    terms: list[Term] = []
    for number, wire in enumerate(_replacing(recipe)):
        recipe, teacher = _teacher_of(recipe, wire)
        goal = TapRef(teacher, wire.target.tap)
        recipe, term = _matched(recipe, wire.target, goal, f"match{number}")
        terms.append(term)
    return recipe, tuple(terms)


def _match_features(recipe: Recipe, given: Ingredients) -> tuple[Recipe, tuple[Term, ...]]:
    wire = _replacing(recipe)[-1]
    recipe, teacher = _teacher_of(recipe, wire)
    back = wire.target.source
    features = given.features(back)
    recipe, term = _matched(recipe, features, TapRef(teacher, features.tap), "match0")
    answer = next(head for head in recipe.plan.heads if head.name == recipe.plan.answer)
    if answer.kind != "identity":
        return recipe, (term,)
    goal = Head("goal", "identity", (TapRef(teacher, given.logits(back).tap),))
    heads = (goal, *recipe.plan.heads)
    plan = replace(recipe.plan, heads=heads)
    return replace(recipe, plan=plan), (term, Term("distil", (answer.name,), goal.name))


def _teacher_of(recipe: Recipe, wire: Wire) -> tuple[Recipe, str]:
    back = wire.target.source
    return recipe.with_teacher(back, f"{back}_teacher")


def _matched(recipe: Recipe, tap: TapRef, goal: TapRef, name: str) -> tuple[Recipe, Term]:
    """Both values as outputs, and the term that compares them."""
    heads = (Head(name, "tap", (tap,)), Head(f"{name}_goal", "tap", (goal,)))
    plan = replace(recipe.plan, heads=(*heads, *recipe.plan.heads))
    return replace(recipe, plan=plan), Term("match", (name,), f"{name}_goal")


def _classifier(recipe: Recipe) -> Objective | None:
    """The stage that trains a new head after matching; None where the answer has no weights."""
    learned = [head for head in recipe.plan.heads if head.kind not in ("identity", "tap")]
    if not learned:
        return None
    return replace(task_loss(recipe.plan).stages[0], freeze=HEADS_ONLY)


def _finish(recipe: Recipe, name: str, first: Objective, last: Objective | None) -> Recipe:
    heads = [head for head in recipe.plan.heads if head.kind != "tap" and head.name != "goal"]
    keep = tuple(head.name for head in heads)
    teachers = tuple(ref.name for ref in recipe.plan.sources if ref.name.endswith("_teacher"))
    stages = (first, last) if last else (first,)
    return replace(recipe, loss=Loss(name, stages, keep=keep, teachers=teachers))
