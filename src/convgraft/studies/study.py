"""A study: which arms and baselines are compared, and what takes part for given networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from convgraft.compose import Composite, compose
from convgraft.errors import UsageError, near_miss
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.strategies.ensemble import vote_plan
from convgraft.studies.arms import BASELINES, Arm, baseline_arms
from convgraft.studies.design import Design, build_arm, untrained
from convgraft.training import PRESETS, read_policy
from convgraft.training.policies import FROZEN_PRESETS

OWN = "own"  # the baseline that is not trained: each network's own answer


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
        baselines: of `probe`, `finetune` and `own`; with several networks, their averages too.
        least: how many networks it needs.
        first: whether the first network alone is studied.
        freeze: a policy for every arm whose networks learn; empty: the arm's own.
        only: names of the arms to run; empty: all.
    """

    name: str
    words: str
    arms: Callable[[Ingredients], Sequence[StudyArm]]
    baselines: tuple[str, ...]
    least: int = 2
    first: bool = False
    freeze: str = ""
    only: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Entry:
    """What takes part in a study.

    Attributes:
        kind: `join`, `control`, `baseline`, or `average` of a baseline's networks.
        baseline: which one, for the last two kinds.
        arm: what is trained; None where nothing is.
    """

    name: str
    kind: str
    baseline: str = ""
    arm: Arm | None = None


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


def entries(study: Study, given: Ingredients, seed: int = 0) -> list[Entry]:
    """Everything that takes part, the study's own arms first; raises UsageError or PlanError.

    Args:
        given: as `taking` gives it.
        seed: of networks that begin from random weights.
    """
    planned = [_planned(study, one, given, seed) for one in study.arms(given)]
    tunes = study.freeze in PRESETS and study.freeze not in FROZEN_PRESETS
    tuned = read_policy(study.freeze) if tunes else None
    trained = [arm for arm in baseline_arms(given, tuned) if arm.baseline in study.baselines]
    planned += [Entry(arm.name, "baseline", arm.baseline, arm) for arm in trained]
    if OWN in study.baselines:
        planned += [Entry(f"{OWN}-{name}", "baseline", OWN) for name in given.sources]
    if len(given.sources) > 1:
        asked = [name for name in (*BASELINES, OWN) if name in study.baselines]
        planned += [Entry(f"average-{name}", "average", name) for name in asked]
    return _chosen(study, planned)


def _planned(study: Study, one: StudyArm, given: Ingredients, seed: int) -> Entry:
    names = one.sources or tuple(given.sources)
    opened = {name: given.sources[name] for name in names}
    opened |= {name: untrained(given.sources[name], seed) for name in one.untrained}
    arm = build_arm(_freed(study, one), replace(given, sources=opened), seed)
    return Entry(arm.name, "control" if one.control else "join", arm=arm)


def _freed(study: Study, one: StudyArm) -> Design:
    """The design under the study's policy, where networks learn that come with weights."""
    own = one.design.freeze or STRATEGIES[one.design.strategy].freeze
    if not study.freeze or one.untrained or own in FROZEN_PRESETS:
        return one.design
    return replace(one.design, freeze=study.freeze)


def _chosen(study: Study, planned: Sequence[Entry]) -> list[Entry]:
    """The entries that were asked for; an average brings its members."""
    known = [entry.name for entry in planned]
    for name in study.only:
        if name not in known:
            raise UsageError(
                f'the study {study.name} has no arm called "{name}"',
                expected=", ".join(known),
                hint=near_miss(name, known),
            )
    asked = [entry for entry in planned if entry.name in study.only]
    averaged = {entry.baseline for entry in asked if entry.kind == "average"}
    return [
        entry for entry in planned if not study.only or entry in asked or entry.baseline in averaged
    ]


def own_answer(given: Ingredients, name: str = "") -> Composite:
    """A network as it is, or without a name the average of all; nothing is trained."""
    sources = {name: given.sources[name]} if name else given.sources
    return compose(vote_plan(replace(given, sources=sources)), sources).eval()
