"""Intervals against scipy, and which differences are told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from convgraft.studies.fewshot import JOIN, VOTE, Score, differences

RANDOM = np.random.default_rng(0)
TASKS = RANDOM.normal(0.6, 0.1, 200)  # how easy each episode is, for every arm


def score(arm: str, gain: float, *, shots: int = 1) -> Score:
    return Score("prototype", shots, arm, TASKS + gain + RANDOM.normal(0, 0.02, 200))


SCORES = [score("a", 0.0), score("b", 0.02), score(JOIN, 0.04), score(VOTE, 0.02)]


def test_accuracy_has_students_interval() -> None:
    values = SCORES[0].accuracies
    found = SCORES[0].accuracy
    low, high = stats.t.interval(0.95, 199, loc=values.mean(), scale=stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_differences_are_paired() -> None:
    found = {(one.arm, one.against): one.share for one in differences(SCORES)}
    assert list(found) == [(JOIN, "b"), (VOTE, "b"), (JOIN, VOTE)]
    arms = {one.arm: one.accuracies for one in SCORES}
    for (arm, against), share in found.items():
        naive = stats.ttest_rel(arms[arm], arms[against]).confidence_interval(0.95)
        assert (share.low, share.high) == pytest.approx((naive.low, naive.high))
        assert share.value == pytest.approx((arms[arm] - arms[against]).mean())
    join, vote = found[JOIN, "b"], found[VOTE, "b"]
    assert join.low is not None and join.low > 0
    assert vote.low is not None and vote.high is not None and vote.low < 0 < vote.high
    alone = SCORES[2].accuracy
    assert alone.low is not None and alone.high is not None and join.high is not None
    assert join.high - join.low < (alone.high - alone.low) / 2


def test_the_best_single_network_is_chosen_for_each_number_of_shots() -> None:
    more = [score("a", 0.3, shots=5), score("b", 0.1, shots=5)]
    more += [score(JOIN, 0.1, shots=5), score(VOTE, 0.1, shots=5)]
    found = [(one.shots, one.against) for one in differences([*SCORES, *more])]
    assert found == [(1, "b"), (1, "b"), (1, VOTE), (5, "a"), (5, "a"), (5, VOTE)]


def test_a_network_alone_has_nothing_to_differ_from() -> None:
    assert differences([score("a", 0.0)]) == []
