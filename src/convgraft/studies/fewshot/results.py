"""From accuracies by episode to means with intervals, and differences on the same episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convgraft.studies.statistics import CONFIDENCE, Interval, student_interval

JOIN, VOTE = "joined features", "vote of single heads"


@dataclass(frozen=True, eq=False)
class Score:
    """One arm under one head, with so many shots.

    Attributes:
        arm: a network's name, `JOIN` or `VOTE`.
        accuracies: of each episode, [E]; the same episodes for all arms.
    """

    head: str
    shots: int
    arm: str
    accuracies: NDArray[np.float64]

    @property
    def is_single(self) -> bool:
        """Whether the arm is a network alone."""
        return self.arm not in (JOIN, VOTE)

    @property
    def accuracy(self) -> Interval:
        """The mean, and its 95 % interval over episodes by Student's t."""
        return student_interval(self.accuracies.tolist())


@dataclass(frozen=True)
class Difference:
    """The mean difference of accuracies on the same episodes, with a 95 % interval.

    Attributes:
        arm, against: the first minus the second.
    """

    head: str
    shots: int
    arm: str
    against: str
    share: Interval


def differences(scores: Sequence[Score]) -> list[Difference]:
    """Of the join and of the vote to the best single network, and of the join to the vote.

    The best single network is the one with the highest mean over these very episodes: that choice
    flatters it, and never the join. Without a join there are none.
    """
    found: list[Difference] = []
    for head, shots in dict.fromkeys((one.head, one.shots) for one in scores):
        here = [one for one in scores if (one.head, one.shots) == (head, shots)]
        arms = {one.arm: one for one in here}
        if JOIN not in arms:
            continue
        singles = [one for one in here if one.is_single]
        best = max(singles, key=lambda one: float(one.accuracies.mean()))
        pairs = ((JOIN, best.arm), (VOTE, best.arm), (JOIN, VOTE))
        found += [_difference(arms[arm], arms[against]) for arm, against in pairs]
    return found


def _difference(one: Score, other: Score) -> Difference:
    share = paired_interval(one.accuracies - other.accuracies)
    return Difference(one.head, one.shots, one.arm, other.arm, share)


def paired_interval(values: NDArray[np.float64]) -> Interval:
    """The mean of differences, two or more, and its 95 % interval by Student's t."""
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) / len(values) ** 0.5
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread
    return Interval(mean, mean - half, mean + half)
