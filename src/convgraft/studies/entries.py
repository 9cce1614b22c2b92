"""What takes part in a study for given networks: its arms, their controls, and the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from convgraft.errors import UsageError, near_miss
from convgraft.sources import Source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.studies.arms import BASELINES, FINETUNE, baseline_arms
from convgraft.studies.design import RANDOM_FRONT, Design, build_arm, random_front, untrained
from convgraft.studies.distilled import DISTILLED, distilled_arm
from convgraft.studies.equal_cost import EQUAL_COST, find_sides, larger_arms
from convgraft.studies.study import OWN, Entry, Study, StudyArm
from convgraft.training import PRESETS, FreezePolicy, read_policy
from convgraft.training.policies import FROZEN_PRESETS

STITCH = "stitch"


def entries(study: Study, given: Ingredients, seed: int = 0) -> list[Entry]:
    """Everything that takes part, the study's own arms first; raises UsageError or PlanError.

    Args:
        given: as `taking` gives it.
        seed: of networks that begin from random weights.
    """
    study = with_sides(study, given, seed)
    own = [(_planned(study, one, given, seed), one) for one in study.arms(given)]
    fronts = partial(_random_fronts, study, given=given, seed=seed)
    planned = [entry for joined, one in own for entry in (joined, *fronts(one))]
    tuned = _tuned(study)
    trained = [arm for arm in baseline_arms(given, tuned) if arm.baseline in study.baselines]
    planned += [Entry(arm.name, "baseline", arm.baseline, arm) for arm in trained]
    if OWN in study.baselines:
        planned += [Entry(f"{OWN}-{name}", "baseline", OWN) for name in given.sources]
    if len(given.sources) > 1:
        asked = [name for name in (*BASELINES, OWN) if name in study.baselines]
        planned += [Entry(f"average-{name}", "average", name) for name in asked]
        planned += _distilled(study, given, tuned)
    return _chosen(study, [*planned, *_equal_cost(study, given, tuned)])


def with_sides(study: Study, given: Ingredients, seed: int = 0) -> Study:
    """The study with the sides of its `equal-cost` images, which are the same in all cells."""
    if EQUAL_COST not in study.baselines or study.sides is not None:
        return study
    shaped = replace(given, images=None)  # what is alike differs with the images of a cell
    joins = [
        _planned(study, one, shaped, seed).arm for one in study.arms(shaped) if not one.control
    ]
    return replace(study, sides=find_sides([arm for arm in joins if arm], given))


def _planned(study: Study, one: StudyArm, given: Ingredients, seed: int) -> Entry:
    opened = _opened(one, given)
    opened |= {name: untrained(given.sources[name], seed) for name in one.untrained}
    arm = build_arm(_freed(study, one), replace(given, sources=opened), seed)
    return Entry(arm.name, "control" if one.control else "join", arm=arm)


def _opened(one: StudyArm, given: Ingredients) -> dict[str, Source]:
    return {name: given.sources[name] for name in one.sources or tuple(given.sources)}


def _random_fronts(study: Study, one: StudyArm, *, given: Ingredients, seed: int) -> list[Entry]:
    """The control of a stitch, where its front has an architecture that can be begun anew.

    A run has none, nor has a module that somebody made in Python.
    """
    opened = _opened(one, given)
    front = next(iter(opened.values()))
    is_stitch = one.design.strategy == STITCH and not one.control
    named = front.nested is None and not front.spec.startswith("module:")
    if RANDOM_FRONT not in study.baselines or not is_stitch or not named:
        return []
    arm = random_front(_freed(study, one), replace(given, sources=opened), seed)
    name = f"{one.design.name or STITCH}-{RANDOM_FRONT}"
    return [Entry(name, "control", arm=replace(arm, name=name))]


def _distilled(study: Study, given: Ingredients, tuned: FreezePolicy | None) -> list[Entry]:
    if DISTILLED not in study.baselines:
        return []
    if FINETUNE not in study.baselines:
        raise UsageError(
            "distilled networks learn from fine-tuned ones",
            expected=f"the baseline {FINETUNE} beside {DISTILLED}",
        )
    return [
        Entry(
            f"{DISTILLED}-{name}",
            "baseline",
            DISTILLED,
            taught=partial(distilled_arm, given, name, tuned),
        )
        for name in given.sources
    ]


def _equal_cost(study: Study, given: Ingredients, tuned: FreezePolicy | None) -> list[Entry]:
    sides = study.sides or {}
    arms = larger_arms(given, sides, tuned)
    return [
        Entry(arm.name, "baseline", EQUAL_COST, arm, image_size=side.pixels, note=side.note)
        for arm, side in zip(arms, sides.values(), strict=True)
    ]


def _tuned(study: Study) -> FreezePolicy | None:
    """How fine-tunes learn: as the study's joins do, where that lets networks learn."""
    tunes = study.freeze in PRESETS and study.freeze not in FROZEN_PRESETS
    return read_policy(study.freeze) if tunes else None


def _freed(study: Study, one: StudyArm) -> Design:
    """The design under the study's policy, where networks learn that come with weights."""
    own = one.design.freeze or STRATEGIES[one.design.strategy].freeze
    if not study.freeze or one.untrained or own in FROZEN_PRESETS:
        return one.design
    return replace(one.design, freeze=study.freeze)


def _chosen(study: Study, planned: Sequence[Entry]) -> list[Entry]:
    """The entries that were asked for; an average or a distilled network brings what it is of."""
    known = [entry.name for entry in planned]
    twice = [name for name in known if known.count(name) > 1]
    if twice:
        raise UsageError(
            f'two arms are called "{twice[0]}"', hint="another name for the study's own"
        )
    for name in study.only:
        if name not in known:
            raise UsageError(
                f'the study {study.name} has no arm called "{name}"',
                expected=", ".join(known),
                hint=near_miss(name, known),
            )
    asked = [entry for entry in planned if entry.name in study.only]
    whole = {entry.baseline for entry in asked if entry.kind == "average"}
    whole |= {FINETUNE for entry in asked if entry.taught}
    members = [one for one in planned if one.kind == "baseline" and one.baseline in whole]
    return [one for one in planned if not study.only or one in asked or one in members]
