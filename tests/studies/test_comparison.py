"""Arms against what they have to beat: a tie is never called a win."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from convgraft.studies import Predictions, compare_arms
from convgraft.studies.comparison import Comparison
from convgraft.studies.statistics import Interval, mcnemar

Kept = dict[tuple[str, str], Predictions]


def line(arm: str, seed: int, *, kind: str = "join", macs: int = 10, **more: Any) -> dict[str, Any]:
    baseline = arm.partition("-")[2] if kind == "average" else "finetune"
    place = {"cell": f"20-{seed}", "limit": 20, "seed": seed, "arm": arm, "kind": kind}
    told = {"baseline": "" if kind == "join" else baseline, "macs": macs, "val": 0.5}
    return {**place, **told, "test": {"top1": 0.5}, **more}


def predicted(right: np.ndarray, first: int = 0) -> Predictions:
    """Two classes, every label the first; right or not as given."""
    chances = torch.tensor([[0.9, 0.1] if one else [0.2, 0.8] for one in right])
    ids = tuple(f"image {number}" for number in range(first, first + len(right)))
    return Predictions(ids, torch.zeros(len(right), dtype=torch.int64), chances, ("x", "y"))


def study(rights: dict[str, list[np.ndarray]]) -> tuple[list[dict[str, Any]], Kept]:
    """Lines and predictions of a study whose every seed has other test images."""
    lines, kept = [], {}
    kinds = {"average": "average", "finetune": "baseline", "distilled": "baseline"}
    for arm, seeds in rights.items():
        kind, known = kinds.get(arm.partition("-")[0], "join"), {}
        if "random" in arm:
            kind = "control"
        if arm.startswith("distilled"):
            known = {"baseline": "distilled"}
        for seed, right in enumerate(seeds):
            lines.append(line(arm, seed, kind=kind, macs=6 if arm == "x" else 10, **known))
            kept[f"20-{seed}", arm] = predicted(right, first=1_000 * seed)
    return lines, kept


def compare(lines: list[dict[str, Any]], kept: Kept) -> dict[tuple[str, str], Comparison]:
    found = compare_arms(lines, lambda cell, arm: kept.get((cell, arm)))
    return {(one.arm, one.against): one for one in found}


def chance(seed: int, share: float, count: int = 500) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


def test_the_same_network_under_two_names_is_a_tie() -> None:
    rights = [chance(seed, 0.8) for seed in range(3)]
    found = compare(*study({"x": rights, "average-finetune": rights}))
    tie = found["x", "average vote"]
    assert (tie.outcome, tie.p, tie.points) == ("tie", 1, Interval(0, 0, 0))


def test_a_better_arm_wins_and_a_worse_one_loses() -> None:
    vote = [chance(seed, 0.7) for seed in range(3)]
    better = [right | chance(9 + seed, 0.3) for seed, right in enumerate(vote)]
    worse = [right & chance(9 + seed, 0.8) for seed, right in enumerate(vote)]
    found = compare(*study({"x": better, "y": worse, "average-finetune": vote}))
    win, loss = found["x", "average vote"], found["y", "average vote"]
    assert (win.outcome, loss.outcome) == ("win", "loss")
    assert win.points.value == pytest.approx(np.mean(better) - np.mean(vote))
    assert (win.seeds, win.images, win.arms, win.cost) == (3, 1500, 2, 0.6)


def test_p_is_mcnemars_where_that_is_larger_and_corrected_for_all_arms() -> None:
    vote, better = np.zeros(100, bool), np.zeros(100, bool)
    better[:7] = True
    alone = compare(*study({"x": [better], "average-finetune": [vote]}))["x", "average vote"]
    assert alone.p == pytest.approx(mcnemar(better, vote)) == alone.corrected
    assert alone.outcome == "win"
    many = {f"join {number}": [vote] for number in range(9)}
    found = compare(*study({"x": [better], **many, "average-finetune": [vote]}))
    assert found["x", "average vote"].corrected == pytest.approx(10 * alone.p)
    assert found["x", "average vote"].outcome == "tie"


def test_an_interval_that_holds_zero_is_a_tie_whatever_p_says() -> None:
    kept = {"limit": None, "seeds": 3, "images": 9, "arms": 1, "cost": 1.0}
    held = Comparison("x", "y", points=Interval(0.1, -0.1, 0.3), p=0.001, corrected=0.001, **kept)
    at_zero = Comparison("x", "y", points=Interval(0.1, 0.0, 0.3), p=0.001, corrected=0.001, **kept)
    unsure = Comparison("x", "y", points=Interval(0.1, 0.05, 0.3), p=0.01, corrected=0.05, **kept)
    assert held.outcome == at_zero.outcome == unsure.outcome == "tie"


def test_the_best_single_network_is_the_one_of_validation_in_every_cell() -> None:
    own, good, bad = chance(0, 0.8), chance(0, 0.8), chance(1, 0.3)
    lines, kept = study({"x": [own, own], "finetune-a": [good, bad], "finetune-b": [bad, good]})
    for one in lines:
        chosen = {("finetune-a", 0), ("finetune-b", 1)}
        one["val"] = 0.9 if (one["arm"], one["seed"]) in chosen else 0.1
    assert compare(lines, kept)["x", "best single"].points.value == 0


def test_images_that_only_one_of_the_two_has_are_left_out() -> None:
    right = chance(0, 0.5)
    lines, kept = study({"x": [right], "average-finetune": [right]})
    kept["20-0", "x"] = predicted(right[100:], first=100)
    assert compare(lines, kept)["x", "average vote"].images == 400
    assert compare(lines, kept)["x", "average vote"].points.value == 0


def test_what_has_no_predictions_is_not_compared() -> None:
    right = chance(0, 0.5)
    lines, kept = study({"x": [right, right], "y": [right], "average-finetune": [right, right]})
    for place in (("20-1", "average-finetune"), ("20-0", "y")):
        del kept[place]
    found = compare(lines, kept)
    assert list(found) == [("x", "average vote")]
    assert found["x", "average vote"].seeds == 1
    assert compare_arms(lines, lambda cell, arm: None) == []


def test_failed_arms_are_left_out() -> None:
    right = chance(0, 0.5)
    lines, kept = study({"x": [right], "average-finetune": [right]})
    broken = {"cell": "20-0", "limit": 20, "seed": 0, "arm": "z", "kind": "join", "baseline": ""}
    found = compare([*lines, {**broken, "failed": "it fell over"}], kept)
    assert list(found) == [("x", "average vote")]


def better_than(rights: list[np.ndarray]) -> list[np.ndarray]:
    return [right | chance(90 + seed, 0.4) for seed, right in enumerate(rights)]


def test_the_votes_rival_is_the_best_by_validation_and_not_the_first_kind() -> None:
    bad, good = chance(0, 0.2), chance(0, 0.8)
    lines, kept = study({"x": [good], "average-finetune": [bad], "average-probe": [good]})
    for one in lines:
        one["val"] = 0.2 if one["arm"] == "average-finetune" else 0.8
    found = compare(lines, kept)
    assert list(found) == [("x", "average vote")]
    assert found["x", "average vote"].points.value == 0


def test_joins_meet_the_best_distilled_network_where_there_is_one() -> None:
    right = [chance(seed, 0.6) for seed in range(2)]
    bad = [chance(9, 0.1)] * 2
    lines, kept = study({"x": right, "distilled-a": bad, "distilled-b": right, "finetune-a": bad})
    for one in lines:
        one["val"] = 0.9 if one["arm"] == "distilled-b" else 0.1
    found = compare(lines, kept)
    assert list(found) == [("x", "best single"), ("x", "best distilled")]  # not a single's rival
    assert found["x", "best distilled"].points.value == 0


def test_a_stitch_meets_its_own_control_and_no_other() -> None:
    noise = [chance(seed, 0.3) for seed in range(3)]
    rights = {"s": better_than(noise), "s-random": noise, "t": noise, "t-random-front": noise}
    found = compare(*study({**rights, "u": noise}))
    assert list(found) == [("s", "own random front"), ("t", "own random front")]
    assert [one.outcome for one in found.values()] == ["win", "tie"]
    assert [one.arms for one in found.values()] == [2, 2]


@pytest.mark.parametrize("lost", ["x", "average-finetune"])
def test_an_arm_does_not_win_on_the_seeds_it_survived(lost: str) -> None:
    vote = [chance(seed, 0.5) for seed in range(5)]
    lines, kept = study({"x": better_than(vote), "average-finetune": vote})
    won = compare(lines, kept)["x", "average vote"]
    assert (won.outcome, won.seeds, won.asked, won.complete) == ("win", 5, 5, True)
    broken = [
        {**one, "failed": "it fell over"} if one["arm"] == lost and one["seed"] > 2 else one
        for one in lines
    ]
    tie = compare(broken, kept)["x", "average vote"]
    assert (tie.outcome, tie.seeds, tie.asked, tie.complete) == ("tie", 3, 5, False)
    assert tie.points.low is not None and tie.points.low > 0 and tie.corrected < 0.05


def test_an_arm_that_failed_loses_all_the_same() -> None:
    own = [chance(seed, 0.4) for seed in range(5)]
    lines, kept = study({"x": own[:3], "average-finetune": better_than(own)})
    assert compare(lines, kept)["x", "average vote"].outcome == "loss"
