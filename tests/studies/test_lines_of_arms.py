"""What a study's lines tell beside the test: how an arm learned, and what an image takes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convgraft.compose import Composite
from convgraft.data import open_images, split_images
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import (
    Cell,
    Design,
    Study,
    StudyArm,
    StudyStore,
    cell_lines,
    run_study,
    summarise,
)
from convgraft.studies.results import short_curve
from convgraft.training import FitOptions, Task
from helpers import Tiny

EPOCHS, SEEDS = 2, 2


@pytest.fixture(scope="module")
def measured() -> list[Composite]:
    """The networks whose latency was measured."""
    return []


@pytest.fixture(scope="module")
def lines(
    tmp_path_factory: pytest.TempPathFactory, measured: list[Composite]
) -> list[dict[str, Any]]:
    images = open_images("digits")
    sources = {name: source(Tiny(classes=10, seed=seed)) for seed, name in enumerate("ab")}

    def open_cell(cell: Cell) -> tuple[Task, Ingredients]:
        split = split_images(images, seed=cell.seed, limit=cell.limit)
        small = replace(split, val=split.val[:40], test=split.test[:40])
        return Task(images, small, 8), Ingredients(sources, 8, 10)

    def measure(network: Composite) -> dict[str, float]:
        measured.append(network)
        return {"1": float(len(measured)), "32": 0.5}

    study = Study(
        "tiny", "?", lambda given: [StudyArm(Design("parallel", freeze="heads-only"))], ("own",)
    )
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_lines, "latency_of", measure)
        run_study(
            study,
            [Cell(20, seed) for seed in range(SEEDS)],
            open_cell,
            lambda cell: FitOptions(epochs=EPOCHS, batch_size=10, seed=cell.seed),
            StudyStore.claim(folder, {}),
            lambda what, done, total: None,
        )
    text = (Path(folder) / "results.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_its_arms_learning_curve(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        if line["arm"] != "parallel":
            assert "curve" not in line
            continue
        assert [epoch["epoch"] for epoch in line["curve"]] == list(range(EPOCHS))
        best = line["curve"][line["best_epoch"]]
        assert best["val_top1"] == pytest.approx(line["val"], rel=1e-4)
        assert all(epoch["train_loss"] > 0 and epoch["val_nll"] > 0 for epoch in line["curve"])
        assert len(json.dumps(line["curve"])) < 100 * EPOCHS


def test_latency_is_measured_once_for_an_arm_not_once_for_a_seed(
    lines: list[dict[str, Any]], measured: list[Composite]
) -> None:
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    assert len(lines) == SEEDS * len(arms)
    assert len(measured) == len(arms)
    for number, arm in enumerate(arms):
        told = [line["latency"] for line in lines if line["arm"] == arm]
        assert told == [{"1": number + 1.0, "32": 0.5}] * SEEDS


def test_the_summary_has_all_measures_as_means(lines: list[dict[str, Any]]) -> None:
    found = {arm.arm: arm for arm in summarise(lines)}
    own = [line for line in lines if line["arm"] == "parallel"]
    joined = found["parallel"]
    for name in ("balanced", "nll", "ece"):
        mean = sum(line["test"][name] for line in own) / SEEDS
        assert getattr(joined, name) == pytest.approx(mean)
    assert (joined.latency, joined.latency_of_many) == (1.0, 0.5)


def test_older_lines_without_them_have_a_summary_too(lines: list[dict[str, Any]]) -> None:
    older = [
        {key: value for key, value in {**line, "test": {"top1": 0.5}}.items() if key != "latency"}
        for line in lines
    ]
    found = summarise(older)[0]
    assert (found.balanced, found.nll, found.ece) == (None, None, None)
    assert (found.latency, found.latency_of_many) == (None, None)


def test_what_json_has_no_word_for_is_null() -> None:
    epoch = {"epoch": 0, "train_loss": 0.123456789, "val": {"x": {"top1": 0.5, "nll": math.inf}}}
    told = {"epoch": 0, "train_loss": 0.12346, "val_top1": 0.5, "val_nll": None}
    assert short_curve({"curve": [epoch]}, "x") == {"curve": [told]}
    assert short_curve({"curve": [epoch]}, "y")["curve"][0]["val_top1"] is None
    assert short_curve({}, "x") == {}
