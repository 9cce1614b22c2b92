"""The distilled single: one network that learns from what all fine-tuned networks say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from convgraft.compose import Composite
from convgraft.opening import nested
from convgraft.sources import Source
from convgraft.strategies import STRATEGIES, Ingredients, write_recipe
from convgraft.studies.arms import Arm
from convgraft.training import PRESETS, FreezePolicy

DISTIL, DISTILLED = "distil", "distilled"


def distilled_arm(
    given: Ingredients,
    student: str,
    tuned: FreezePolicy | None,
    teachers: Mapping[str, Composite],
) -> Arm:
    """A network, fine-tuned under the labels and the average vote of the fine-tuned networks.

    The student begins from the weights that it came with, and is one of its own teachers' kind: all
    networks vote (Hinton et al. 2015). Of the arm only the student is kept.

    Args:
        tuned: how it learns; as distillation does by default.
        teachers: by network, trained for the task.
    """
    taught = {_free(name, given): as_source(network) for name, network in teachers.items()}
    sources = {student: given.sources[student], **taught}
    own = replace(given, sources=sources)
    strategy = STRATEGIES[DISTIL]
    recipe = write_recipe(strategy.write(own), sources, own, strategy.loss)
    return Arm(
        f"{DISTILLED}-{student}",
        recipe.plan,
        recipe.sources,
        tuned or PRESETS[strategy.freeze],
        recipe.loss,
        baseline=DISTILLED,
    )


def as_source(network: Composite) -> Source:
    """A trained composite with one answer, as a network to be combined further."""
    plan = network.complete_plan
    spec = f"trained:{'+'.join(ref.network for ref in plan.sources)}"
    return nested.as_source(network, spec, plan)


def _free(name: str, given: Ingredients) -> str:
    """A name for a teacher that no network has."""
    name = f"{name}_teacher"
    while name in given.sources:
        name += "_"
    return name
