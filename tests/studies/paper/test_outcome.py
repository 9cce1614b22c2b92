"""The best join is chosen by validation, and every figure comes with its interval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from convgraft.errors import ArtifactError
from convgraft.studies import Predictions, StudyStore
from convgraft.studies.paper import PaperRow, RowOutcome, read_outcome, read_rows

ROW = read_rows()["table3-1"]
IMAGES = 200


def add(store: StudyStore, arm: str, kind: str, val: float, right: int, seed: int = 0) -> None:
    """A result in which the first `right` of 200 images are right, and its predictions."""
    cell = f"all-{seed}"
    labels = torch.zeros(IMAGES, dtype=torch.int64)
    wrong = (torch.arange(IMAGES) >= right).float()
    answers = torch.stack([1 - wrong, wrong], 1)
    ids = tuple(f"{seed}/{number}" for number in range(IMAGES))
    Predictions(ids, labels, answers, ("a", "b")).save(store.predictions_path(cell, arm))
    test = {"top1": right / IMAGES, "images": IMAGES}
    line: dict[str, Any] = {"cell": cell, "seed": seed, "arm": arm, "kind": kind, "val": val}
    store.append({**line, "limit": None, "test": test, "seconds": 1.0, "macs": 10})


def claimed(folder: Path) -> StudyStore:
    return StudyStore.claim(folder, {"paper": {"study": ROW.name, "networks": ["x", "y"]}})


def outcome(folder: Path, row: PaperRow = ROW) -> RowOutcome:
    found = read_outcome(row, folder)
    assert found is not None
    return found


def test_validation_chooses_and_test_does_not(tmp_path: Path) -> None:
    store = claimed(tmp_path / "row")
    add(store, "cross-skip-raw", "join", 0.6, 190)
    add(store, "parallel", "join", 0.7, 150)
    add(store, "probe-a", "baseline", 0.5, 100)
    add(store, "finetune-b", "baseline", 0.4, 180)
    add(store, "average-probe", "average", 0.9, 160)
    found = outcome(tmp_path / "row")
    assert found.best == "parallel"
    assert found.single is not None and found.single.rival == "probe-a"
    assert found.single.points.value == pytest.approx(0.25)
    assert found.single.outcome == "above"
    assert found.vote is not None and (found.vote.rival, found.vote.outcome) == (
        "average-probe",
        "below",
    )


def wilson(right: int, images: int) -> tuple[float, float]:
    """As in Wilson 1927: where |p - share| is 1.96 standard errors under p."""
    z, share = 1.959964, right / images
    middle = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images)
    half *= (share * (1 - share) / images + z * z / (4 * images * images)) ** 0.5
    return middle - half, middle + half


def test_one_seed_has_wilsons_interval_and_several_have_students(tmp_path: Path) -> None:
    store = claimed(tmp_path / "row")
    add(store, "ladder", "join", 0.6, 130)
    top1 = outcome(tmp_path / "row").arms[0].top1
    assert (top1.low, top1.high) == pytest.approx(wilson(130, IMAGES), abs=1e-6)
    add(store, "ladder", "join", 0.6, 140, seed=1)
    (one,) = outcome(tmp_path / "row").arms
    assert (one.seeds, one.top1.value, one.seconds) == (2, 0.675, 2.0)
    half = 12.7062 * (2 * 0.025**2) ** 0.5 / 2**0.5  # t of one degree of freedom
    assert one.top1.low == pytest.approx(0.675 - half, abs=1e-4)


def test_an_arm_without_all_seeds_is_not_chosen(tmp_path: Path) -> None:
    store = claimed(tmp_path / "row")
    for seed in (0, 1):
        add(store, "ladder", "join", 0.6, 130, seed=seed)
    add(store, "parallel", "join", 0.9, 190)
    store.append_failure({"cell": "all-1", "arm": "parallel", "failed": "no memory"})
    found = outcome(tmp_path / "row")
    assert (found.best, found.single, found.vote) == ("ladder", None, None)
    assert list(found.failed) == ["parallel in all-1: no memory"]


def test_equal_arms_are_a_tie(tmp_path: Path) -> None:
    store = claimed(tmp_path / "row")
    add(store, "ladder", "join", 0.6, 130)
    add(store, "probe-a", "baseline", 0.6, 131)
    single = outcome(tmp_path / "row").single
    assert single is not None and single.outcome == "tie"
    told = outcome(tmp_path / "row").as_dict()
    assert json.loads(json.dumps(told))["single"]["outcome"] == "tie"


def test_a_row_that_was_not_run_has_no_outcome(tmp_path: Path) -> None:
    assert read_outcome(ROW, tmp_path / "nowhere") is None
    claimed(tmp_path / "row")
    assert read_outcome(ROW, tmp_path / "row") is None


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    store = StudyStore.claim(tmp_path / "other", {"study": "ladder"})
    add(store, "ladder", "join", 0.6, 130)
    with pytest.raises(ArtifactError, match="not of a row"):
        read_outcome(ROW, tmp_path / "other")
