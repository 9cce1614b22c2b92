"""Comparisons that somebody writes: any designs, beside the baselines that they have to beat."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from convgraft.errors import UsageError, near_miss
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.studies.arms import FINETUNE
from convgraft.studies.design import Design
from convgraft.studies.distilled import DISTILLED
from convgraft.studies.study import COMPARED, KNOWN_BASELINES, Study, StudyArm
from convgraft.studies.study_file import StudyFile


def study_of(
    name: str,
    question: str,
    designs: Sequence[Design],
    baselines: Sequence[str] = COMPARED,
    *,
    freeze: str = "",
    only: Sequence[str] = (),
) -> Study:
    """The study that compares designs with baselines, as `run_study` takes it.

    Args:
        question: in a line.
        baselines: of `KNOWN_BASELINES`, each taken where it applies; `distilled` brings `finetune`,
            whose networks teach.
        freeze: a policy for every arm whose networks learn; empty: the arm's own.
        only: names of the arms to run; empty: all.

    Raises UsageError for no designs, two of one name, or an unknown baseline.
    """
    names = [design.name or design.strategy for design in designs]
    twice = [name for name in names if names.count(name) > 1]
    if twice or not names:
        raise UsageError(
            f'two arms are called "{twice[0]}"' if twice else "there is nothing to compare",
            expected="one strategy or more, each arm under a name of its own",
            hint="name=ANOTHER among its options" if twice else "--strategies cross-skip ladder",
        )
    for word in baselines:
        if word not in KNOWN_BASELINES:
            raise UsageError(
                f'there is no baseline called "{word}"',
                expected=", ".join(KNOWN_BASELINES),
                hint=near_miss(word, KNOWN_BASELINES),
            )
    asked = {*baselines, FINETUNE} if DISTILLED in baselines else {*baselines}
    return Study(
        name,
        question,
        partial(_every, tuple(StudyArm(design) for design in designs)),
        tuple(word for word in KNOWN_BASELINES if word in asked),
        least=max((_least(design) for design in designs), default=1),
        freeze=freeze,
        only=tuple(only),
    )


def study_of_file(file: StudyFile, *, only: Sequence[str] = ()) -> Study:
    """The study that a study file describes; raises UsageError."""
    return study_of(
        file.name, file.question, file.arms, file.baselines, freeze=file.freeze, only=only
    )


def _every(arms: Sequence[StudyArm], given: Ingredients) -> Sequence[StudyArm]:
    """The same arms for all networks; no closure, so that a study can go to other processes."""
    return arms


def _least(design: Design) -> int:
    known = STRATEGIES.get(design.strategy)
    return known.least if known else 1
