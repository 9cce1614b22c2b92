"""Figures of a study against naive numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convgraft.studies import summarise
from convgraft.studies.summary import (
    best_by_validation,
    paired_ratio,
    references,
    student_interval,
)


def line(
    arm: str, seed: int, top1: float, *, val: float | None = 0.5, **more: Any
) -> dict[str, Any]:
    kind, _, name = arm.rpartition("-")
    singles = ("finetune", "probe", "own", "distilled", "equal-cost")
    role = "baseline" if kind in singles else "average" if kind == "average" else "join"
    baseline = {"baseline": kind, "average": name}.get(role, "")
    counts = {"macs": 10, "parameters": 5, "trainable": 2, "seconds": 1.0 + seed}
    cell = f"{more.get('limit', 20)}-{seed}"
    place = {"cell": cell, "limit": 20, "seed": seed, "training_images": 20}
    own = {"arm": arm, "kind": role, "baseline": baseline, "val": val, "test": {"top1": top1}}
    return {**counts, **place, **own, **more}


def test_students_interval_is_the_textbooks() -> None:
    found = student_interval([0.90, 0.92, 0.97])
    spread = (((0.03**2) + (0.01**2) + (0.04**2)) / 2) ** 0.5
    assert found.value == pytest.approx(0.93)
    # 4.303: the table's value for two degrees of freedom
    half = 4.303 * spread / 3**0.5
    assert found.low == pytest.approx(0.93 - half, abs=1e-4)
    assert found.high == pytest.approx(min(1.0, 0.93 + half), abs=1e-4)


def test_one_seed_has_no_interval() -> None:
    assert student_interval([0.9]).low is None
    assert paired_ratio([0.1], [0.2]).high is None


def test_the_ratio_is_of_mean_errors_with_pairs_kept_together() -> None:
    own, other = [0.10, 0.30, 0.20, 0.12], [0.20, 0.40, 0.20, 0.30]
    found = paired_ratio(own, other)
    assert found.value == pytest.approx(sum(own) / sum(other))
    rng = np.random.default_rng(0)
    naive = []
    for drawn in rng.integers(4, size=(10_000, 4)):
        naive.append(sum(own[i] for i in drawn) / sum(other[i] for i in drawn))
    assert found.low == pytest.approx(np.quantile(naive, 0.025))
    assert found.high == pytest.approx(np.quantile(naive, 0.975))
    assert paired_ratio(own, other) == found


def test_errors_in_one_proportion_have_no_spread_however_the_seeds_differ() -> None:
    found = paired_ratio([0.1, 0.3, 0.02], [0.2, 0.6, 0.04])
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_the_best_single_is_chosen_by_validation_in_every_cell_never_by_test() -> None:
    singles = [
        line("finetune-a", 0, 0.60, val=0.9),
        line("finetune-b", 0, 0.99, val=0.8),
        line("finetune-a", 1, 0.99, val=0.7),
        line("finetune-b", 1, 0.80, val=0.8),
    ]
    assert [x["arm"] for x in best_by_validation(singles)] == ["finetune-a", "finetune-b"]
    joined = [line("join", 0, 0.8), line("join", 1, 0.9)]
    found = {arm.arm: arm for arm in summarise([*joined, *singles])}
    ratio = found["join"].single
    assert ratio is not None and ratio.against == "best single" and ratio.seeds == 2
    assert ratio.ratio.value == pytest.approx((0.2 + 0.1) / (0.4 + 0.2))
    assert found["join"].vote is None


def test_rivals_are_the_best_of_all_kinds_by_validation_in_every_cell() -> None:
    lines = [
        line("join", 0, 0.8), line("join", 1, 0.8),
        line("finetune-a", 0, 0.1, val=0.2), line("finetune-a", 1, 0.6, val=0.9),
        line("probe-b", 0, 0.6, val=0.7), line("probe-b", 1, 0.9, val=0.8),
        line("own-a", 0, 0.9, val=0.6), line("own-a", 1, 0.9, val=0.6),
        line("distilled-a", 0, 0.9, val=0.99), line("equal-cost-a", 0, 0.9, val=0.99),
        line("average-finetune", 0, 0.1, val=0.2), line("average-finetune", 1, 0.7, val=0.9),
        line("average-probe", 0, 0.7, val=0.8), line("average-probe", 1, 0.9, val=0.8),
        line("average-own", 0, 0.9, val=None), line("average-own", 1, 0.9, val=None),
    ]  # fmt: skip
    (single, singles), (vote, votes) = references(lines)
    assert (single, vote) == ("best single", "average vote")
    assert [one["arm"] for one in singles] == ["probe-b", "finetune-a"]
    assert [one["arm"] for one in votes] == ["average-probe", "average-finetune"]
    found = summarise(lines)[0]
    assert found.vote is not None and found.vote.against == "average vote"
    assert found.vote.ratio.value == pytest.approx((0.2 + 0.2) / (0.3 + 0.3))


def test_how_many_seeds_a_study_has_is_known_where_an_arm_failed() -> None:
    failed = {"cell": "20-4", "limit": 20, "seed": 4, "arm": "join", "failed": "it fell over"}
    found = summarise([line("join", 0, 0.5), line("join", 3, 0.5), line("x", 1, 0.5), failed])
    assert [(arm.seeds, arm.asked) for arm in found] == [(2, 4), (1, 4)]


def test_seeds_that_only_one_side_has_are_left_out_of_a_ratio() -> None:
    lines = [line("join", seed, 0.8 - 0.1 * seed) for seed in range(3)]
    lines += [line("average-finetune", seed, 0.6) for seed in range(2)]
    lines += [line("finetune-a", seed, 0.5) for seed in range(3)]
    found = summarise(lines)[0]
    assert found.seeds == 3
    assert found.vote is not None and found.vote.seeds == 2
    assert found.vote.ratio.value == pytest.approx((0.2 + 0.3) / (0.4 + 0.4))


def test_limits_rise_with_all_images_last_and_means_are_over_seeds() -> None:
    lines = [
        line("join", 0, 0.5, limit=None, training_images=900),
        line("join", 0, 0.5, limit=100, training_images=100),
        line("join", 1, 0.7),
        line("join", 0, 0.6),
    ]
    found = summarise(lines)
    assert [arm.limit for arm in found] == [20, 100, None]
    assert (found[0].seeds, found[0].seconds) == (2, 1.5)
    assert found[0].top1.value == pytest.approx(0.65)


def test_nothing_can_be_said_against_a_rival_that_makes_no_error() -> None:
    lines = [line("join", 0, 0.9), line("finetune-a", 0, 1.0), line("average-finetune", 0, 1.0)]
    found = summarise(lines)[0]
    assert found.single is None and found.vote is None
