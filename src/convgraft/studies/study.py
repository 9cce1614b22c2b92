"""A study: which arms and baselines are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from convgraft.compose import Composite, compose
from convgraft.errors import UsageError
from convgraft.strategies import Ingredients
from convgraft.strategies.ensemble import vote_plan
from convgraft.studies.arms import BASELINES, Arm
from convgraft.studies.design import RANDOM_FRONT, Design
from convgraft.studies.distilled import DISTILLED
from convgraft.studies.equal_cost import EQUAL_COST, Side

OWN = "own"  # the baseline that is not trained: each network's own answer
KNOWN_BASELINES = (*BASELINES, OWN, DISTILLED, EQUAL_COST, RANDOM_FRONT)
COMPARED = tuple(name for name in KNOWN_BASELINES if name != OWN)


@dataclass(frozen=True)
class StudyArm:
    """A design, and the networks that it is for.

    Attributes:
        sources: names of the networks, in the order the design takes them; empty: all.
        untrained: those of them that begin from random weights.
        control: whether it stands beside the study's question and not for an answer to it.
    """

    design: Design
    sources: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()
    control: bool = False


@dataclass(frozen=True)
class Study:
    """What is compared with what.

    Attributes:
        words: the question, in a line.
        arms: opened networks to the study's arms.
        baselines: of `KNOWN_BASELINES`: `probe`, `finetune` and `own`, with several networks their
            averages too; `distilled`, each of several networks taught by the vote of the fine-tuned
            ones; `equal-cost`, each network on images so large that it costs as much as the dearest
            join; `random-front`, a control beside every stitch.
        least: how many networks it needs.
        first: whether the first network alone is studied.
        freeze: a policy for every arm whose networks learn; empty: the arm's own.
        only: names of the arms to run; empty: all.
        sides: of the images of `equal-cost`, by network; None: not found yet, which
            `convgraft.studies.entries.with_sides` does.
    """

    name: str
    words: str
    arms: Callable[[Ingredients], Sequence[StudyArm]]
    baselines: tuple[str, ...]
    least: int = 2
    first: bool = False
    freeze: str = ""
    only: tuple[str, ...] = ()
    sides: Mapping[str, Side] | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """What takes part in a study.

    Attributes:
        kind: `join`, `control`, `baseline`, or `average` of a baseline's networks.
        baseline: which one, for the last two kinds.
        arm: what is trained; None where nothing is, or where `taught` makes it.
        taught: the fine-tuned networks by name to what is trained; None where it is known before.
        image_size: side in pixels of its images; None: the study's.
        note: what a reader of its result has to know.
    """

    name: str
    kind: str
    baseline: str = ""
    arm: Arm | None = None
    taught: Callable[[Mapping[str, Composite]], Arm] | None = None
    image_size: int | None = None
    note: str = ""


def taking(study: Study, given: Ingredients) -> Ingredients:
    """The networks that a study takes of those given; raises UsageError for too few."""
    if len(given.sources) < study.least:
        raise UsageError(
            f"the study {study.name} compares networks",
            expected=f"--models with at least {study.least}",
            found=str(len(given.sources)),
        )
    first = next(iter(given.sources))
    return replace(given, sources={first: given.sources[first]}) if study.first else given


def own_answer(given: Ingredients, name: str = "") -> Composite:
    """A network as it is, or without a name the average of all; nothing is trained."""
    sources = {name: given.sources[name]} if name else given.sources
    return compose(vote_plan(replace(given, sources=sources)), sources).eval()
