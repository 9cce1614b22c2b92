"""Distillation: one network learns from the labels and from the answers of all the others.

The first network is the student; the others are teachers: runs that answer the task already, alone
or as the mean of their probabilities. Only the student is kept (Hinton et al. 2015).
"""

from __future__ import annotations

from dataclasses import replace

from convgraft.errors import UsageError
from convgraft.plan import Head, Plan, TapRef
from convgraft.plan.values import HEADS_OWNER
from convgraft.strategies.ingredients import Ingredients
from convgraft.strategies.recipe import Recipe
from convgraft.training import Loss, Objective, Term

TEACHER = "teacher"
TEMPERATURE = 3.0


def distil(given: Ingredients) -> Plan:
    """The plan: the student's head, which is the answer, and the teachers' mean answer."""
    student, *teachers = given.sources
    others = {name: given.sources[name].classes for name in teachers}
    wrong = [name for name, classes in others.items() if classes != given.classes]
    if wrong:
        raise UsageError(
            f'the teacher "{wrong[0]}" tells {others[wrong[0]]} classes apart',
            expected=f"{given.classes}, as the data has",
            hint="a run of a fit on this data as the teacher",
        )
    heads = [Head(_free(name), "identity", (given.logits(name),)) for name in teachers]
    if len(heads) > 1:
        voters = tuple(TapRef(HEADS_OWNER, head.name) for head in heads)
        heads.append(Head(TEACHER, "average", voters))
    answer = given.dense_head("label", [given.features(student)])
    return Plan(given.image_size, given.refs, (), (*heads, answer))


def _free(name: str) -> str:
    return f"{name}_" if name in (TEACHER, "label") else name


def distil_loss(recipe: Recipe, given: Ingredients) -> Recipe:
    """The task, and the divergence from the teachers; the teachers are frozen and not kept."""
    *others, answer = recipe.plan.heads
    if not others or any(head.kind not in ("identity", "average") for head in others):
        raise UsageError(
            "distillation needs a teacher's answer beside the student's", hint="--strategy distil"
        )
    terms = (
        Term("task", (answer.name,)),
        Term("distil", (answer.name,), others[-1].name, temperature=TEMPERATURE),
    )
    teachers = tuple(ref.name for ref in recipe.plan.keeping([others[-1].name]).sources)
    loss = Loss("distil", (Objective(terms),), keep=(answer.name,), teachers=teachers)
    return replace(recipe, loss=loss)
