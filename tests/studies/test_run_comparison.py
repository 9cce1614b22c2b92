"""A run's join is compared image by image, and a tie is called a tie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from convgraft.report import compared_verdict
from convgraft.studies import Comparison, Predictions, compare_run
from convgraft.studies.statistics import holm

COUNT = 400


def row(arm: str, val: float | None, macs: int = 10) -> dict[str, Any]:
    return {"arm": arm, "val": val, "macs": macs, "test": {"top1": 0.0, "images": COUNT}}


def answers(right: np.ndarray) -> Predictions:
    """Of two classes, right where asked to be."""
    labels = torch.arange(COUNT) % 2
    chosen = torch.where(torch.as_tensor(right), labels, 1 - labels)
    chances = torch.nn.functional.one_hot(chosen, 2).double()
    return Predictions(tuple(map(str, range(COUNT))), labels, chances, ("a", "b"))


def right_but(*wrong: range) -> np.ndarray:
    found = np.ones(COUNT, bool)
    for one in wrong:
        found[list(one)] = False
    return found


ROWS = [
    row("cross-skip", 0.9, 30),
    row("probe-a", 0.95),
    row("finetune-a", 0.8),
    row("average-probe", 0.7, 20),
    row("average-finetune", 0.9, 20),
]
KEPT = {
    "cross-skip": right_but(range(40)),
    "probe-a": right_but(range(10, 42)),  # 10 images lost, 2 won
    "finetune-a": right_but(range(0)),
    "average-finetune": right_but(range(100)),
}


def read(arm: str) -> Predictions | None:
    return answers(KEPT[arm]) if arm in KEPT else None


def compare(rows: list[dict[str, Any]], *joins: str) -> list[Comparison]:
    return compare_run(rows, joins or ("cross-skip",), read)


def test_rivals_are_the_best_by_validation_and_never_by_test() -> None:
    assert [one.against for one in compare(ROWS)] == ["average-finetune", "probe-a"]
    other = [row(one["arm"], 0.99) if one["arm"] == "finetune-a" else one for one in ROWS]
    assert [one.against for one in compare(other)] == ["average-finetune", "finetune-a"]
    front = compare([*ROWS, row("random-front", None)])
    assert [one.against for one in front] == ["average-finetune", "probe-a"]  # it kept nothing


def test_figures_are_those_of_a_study_with_one_seed() -> None:
    vote, single = compare(ROWS)
    assert vote.points.value == pytest.approx(60 / COUNT)
    assert single.points.value == pytest.approx((2 - 10) / COUNT)
    assert (vote.cost, single.cost) == (1.5, 3.0)
    assert (vote.seeds, vote.images, vote.arms) == (1, COUNT, 1)
    exact = stats.binomtest(2, 12, 0.5).pvalue
    assert single.p >= exact and vote.p >= stats.binomtest(0, 60, 0.5).pvalue
    # of a share that is +1 in 60 images and else 0, by the normal approximation
    half = 1.96 * (0.15 * 0.85 / COUNT) ** 0.5
    assert vote.points.low == pytest.approx(0.15 - half, abs=0.004)
    assert vote.points.high == pytest.approx(0.15 + half, abs=0.004)


def test_a_win_is_a_win_and_a_network_against_itself_is_a_tie() -> None:
    vote, single = compare(ROWS)
    assert (vote.outcome, single.outcome) == ("win", "loss")
    (same,) = compare_run(
        [row("cross-skip", 0.9), row("probe-a", 0.9)], ["cross-skip"], lambda arm: read("probe-a")
    )
    assert (same.outcome, same.points.value, same.corrected) == ("tie", 0.0, 1.0)


def test_several_joins_are_corrected_for_their_number() -> None:
    two = compare(ROWS, "cross-skip", "finetune-a")
    votes = [one for one in two if one.against == "average-finetune"]
    assert [one.arms for one in votes] == [2, 2]
    assert [one.corrected for one in votes] == pytest.approx(list(holm([v.p for v in votes])))


def test_without_predictions_nothing_is_compared() -> None:
    assert compare_run(ROWS, ["cross-skip"], lambda arm: None) == []
    assert compared_verdict([]) == ""


def test_the_verdict_says_win_tie_and_loss() -> None:
    told = compared_verdict(compare(ROWS))
    assert told.startswith("cross-skip beats average-finetune (the average vote) by 15.0 points [")
    assert "cross-skip is 2.0 points [" in told
    assert "below probe-a (the best single network), at 3.0x its MACs." in told
    assert "On 400 test images. One seed only" in told


def test_a_verdict_without_a_win_says_so_first_and_calls_a_tie_a_tie() -> None:
    tied = compare_run(ROWS[:2], ["cross-skip"], lambda arm: read("probe-a"))
    told = compared_verdict(tied)
    assert told.startswith("No join wins here: cross-skip is a tie with probe-a (the best single ")
    assert "(+0.0 points [0.0, 0.0], p = 1), at 3.0x its MACs" in told
    assert "beats" not in told
