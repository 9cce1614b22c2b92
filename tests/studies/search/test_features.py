"""The one pass over the images, and what is predicted from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convgraft.cache import Cache
from convgraft.compose import compose, cost
from convgraft.data import open_images, split_images
from convgraft.plan import Head, Plan
from convgraft.strategies import Ingredients
from convgraft.studies import Design, build_arm
from convgraft.studies.search.features import PARTS, all_features
from convgraft.studies.search.networks import subsets
from convgraft.studies.search.predict import Predictor
from convgraft.training import FitOptions, Task, fit
from convgraft.training.closed_form import Kernel, solve
from helpers import small

IMAGES = open_images("digits")
SPLIT = split_images(IMAGES, seed=0, limit=50)
GIVEN = Ingredients({name: small(seed) for seed, name in enumerate("ab")}, 8, 10)
OPTIONS = FitOptions(epochs=1, batch_size=25, augment="none", accelerator="cpu")


def quiet(what: str, done: int, total: int) -> None:
    pass


def task_in(folder: Path | None, limit: int = 2**30) -> Task:
    """A fresh task whose store lies in the folder; None: there is none."""
    cache = Cache(folder, limit) if folder else None
    return Task(IMAGES, replace(SPLIT, val=SPLIT.val[:30]), 8, cache=cache)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the features of both networks lie."""
    path = tmp_path_factory.mktemp("search")
    task = task_in(path)
    all_features(GIVEN, task, quiet)
    assert task.computed == {"a": 80, "b": 80}
    return path


@pytest.fixture
def task(folder: Path) -> Task:
    return task_in(folder)


def test_values_are_what_a_composite_gives_pooled(task: Task) -> None:
    found = all_features(GIVEN, task, quiet)["b"]
    ref = next(ref for ref in GIVEN.side_taps("b") if ref.tap == "layer2")
    alone = replace(GIVEN, sources={"b": GIVEN.sources["b"]})
    plan = Plan(8, alone.refs, (), (Head("t", "tap", (ref,)),))
    network = compose(plan, alone.sources).eval()
    with torch.no_grad():
        value = network(task.pixels("val").images)["t"].mean((2, 3))
    torch.testing.assert_close(found.values["val"]["layer2"], value, rtol=1e-4, atol=1e-5)
    assert found.values["train"]["layer2"].shape == (50, 32)
    assert 0 < found.seconds < 1
    assert set(found.taps) == set(found.values["val"]) == {r.tap for r in GIVEN.side_taps("b")}
    whole = compose(
        Plan(8, alone.refs, (), (Head("t", "tap", (GIVEN.features("b"),)),)), alone.sources
    )
    assert found.macs == cost(whole).macs


def test_what_is_stored_is_read_and_other_weights_are_another_pass(task: Task) -> None:
    all_features(GIVEN, task, quiet)
    assert task.computed == {}
    all_features(replace(GIVEN, sources={"a": small(7), "b": small(1)}), task, quiet)
    assert task.computed == {"a": 80}


@pytest.mark.parametrize("limit", [None, 1000])
def test_without_room_values_are_the_same_and_stay_in_memory(
    limit: int | None, task: Task, tmp_path: Path
) -> None:
    stored = all_features(GIVEN, task, quiet)["a"].values
    other = task_in(tmp_path, limit) if limit else task_in(None)
    found = all_features(GIVEN, other, quiet)["a"].values
    assert other.computed == {}
    for part in PARTS:
        assert list(found[part]) == list(stored[part])
        for tap, value in found[part].items():
            torch.testing.assert_close(value, stored[part][tap], rtol=1e-4, atol=1e-5)


def test_every_network_sees_all_streamed_images_also_after_a_broken_one() -> None:
    def read(index: int) -> bytes | NDArray[np.uint8]:
        return b"" if index == split.train[0] else IMAGES.source(index)

    split = replace(SPLIT, train=SPLIT.train[:33])  # the last one is a batch of its own
    task = Task(replace(IMAGES, source=read), split, 8, cache=None, stream=True)
    found = all_features(GIVEN, task, quiet)
    assert len(task.pixels("train")) == 32
    for one in found.values():
        assert {len(value) for value in one.values["train"].values()} == {32}


def fitted(task: Task, strategy: str) -> None:
    arm = build_arm(Design(strategy), GIVEN)
    fit(compose(arm.plan, arm.sources), task, arm.policy, OPTIONS, loss=arm.loss)


@pytest.mark.parametrize("strategy", ["ladder", "probe"])
def test_a_fit_after_a_search_makes_no_pass(strategy: str, task: Task) -> None:
    fitted(task, strategy)
    assert task.computed == {}
    assert task.passes


def test_a_search_after_a_ladder_makes_no_pass(tmp_path: Path) -> None:
    before, after = task_in(tmp_path), task_in(tmp_path)
    fitted(before, "ladder")
    assert before.computed == {"a": 80, "b": 80}
    all_features(GIVEN, after, quiet)
    assert after.computed == {}


def test_predictions_are_ridge_regressions_over_the_taps_that_heads_read(task: Task) -> None:
    features = all_features(GIVEN, task, quiet)
    found = Predictor(GIVEN, features, task).predict(subsets("ab"))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    named = {str(one.candidate): one for one in found}
    assert {"ridge-probe a", "ridge-ladder a", "ridge-ladder a+b"} <= set(named)
    assert {"ridge-parallel a+b", "ridge-upper-ladder a+b", "ridge-ensemble a+b"} <= set(named)

    labels = {part: task.pixels(part).labels for part in ("train", "val")}
    taps = {name: features[name].taps for name in "ab"}
    joined = [
        torch.cat([features[n].values[part][tap] for n in "ab" for tap in taps[n]], 1)
        for part in ("train", "val")
    ]
    scores = solve(Kernel.of(*joined), labels["train"], 10)
    ladder = named["ridge-ladder a+b"]
    assert ladder.val == pytest.approx((scores.val.argmax(1) == labels["val"]).double().mean())
    assert ladder.score == pytest.approx((50 * ladder.held_out + 30 * ladder.val) / 80)
    assert ladder.macs == features["a"].macs + features["b"].macs
    assert ladder.val > 0.3  # random networks, ten classes
