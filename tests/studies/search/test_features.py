"""The one pass over the images, and what is predicted from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convgraft.compose import compose
from convgraft.data import open_images, split_images
from convgraft.plan import Head, Plan
from convgraft.strategies import Ingredients
from convgraft.studies.search import features as module
from convgraft.studies.search.features import all_features
from convgraft.studies.search.networks import subsets
from convgraft.studies.search.predict import Predictor
from convgraft.training import Task
from convgraft.training.closed_form import Kernel, solve
from helpers import small

IMAGES = open_images("digits")
SPLIT = split_images(IMAGES, seed=0, limit=50)
TASK = Task(IMAGES, replace(SPLIT, val=SPLIT.val[:30]), 8)
GIVEN = Ingredients({name: small(seed) for seed, name in enumerate("ab")}, 8, 10)


def quiet(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "features"
    all_features(GIVEN, TASK, path, quiet)
    return path


def test_values_are_what_a_composite_gives_pooled(folder: Path) -> None:
    found = all_features(GIVEN, TASK, folder, quiet)["b"]
    ref = next(ref for ref in GIVEN.side_taps("b") if ref.tap == "layer2")
    alone = replace(GIVEN, sources={"b": GIVEN.sources["b"]})
    network = compose(Plan(8, alone.refs, (), (Head("t", "tap", (ref,)),)), alone.sources).eval()
    with torch.no_grad():
        value = network(TASK.pixels("val").images)["t"].mean((2, 3))
    torch.testing.assert_close(found.values["val"]["layer2"], value, rtol=1e-4, atol=1e-5)
    assert found.values["train"]["layer2"].shape == (50, 32)
    assert found.seconds > 0
    assert set(found.taps) == {ref.tap for ref in GIVEN.side_taps("b")}


def test_what_lies_there_is_read_and_other_weights_are_another_pass(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []
    real = module._one_pass
    monkeypatch.setattr(module, "_one_pass", lambda *a: passes.append("") or real(*a))
    again = all_features(GIVEN, TASK, folder, quiet)
    assert not passes
    assert again["a"].values["train"]["layer1"].shape == (50, 16)
    (folder / "b.safetensors").write_bytes(b"half a file")
    all_features(GIVEN, TASK, folder, quiet)
    assert len(passes) == 1
    other = replace(GIVEN, sources={"a": small(7)})
    all_features(other, TASK, folder, quiet)
    assert len(passes) == 2
    all_features(GIVEN, Task(IMAGES, SPLIT, 8), folder, quiet)
    assert len(passes) == 4


def test_predictions_are_ridge_regressions_over_the_taps_that_heads_read(folder: Path) -> None:
    features = all_features(GIVEN, TASK, folder, quiet)
    found = Predictor(GIVEN, features, TASK).predict(subsets("ab"))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    named = {str(one.candidate): one for one in found}
    assert {"ridge-probe a", "ridge-ladder a", "ridge-ladder a+b"} <= set(named)
    assert {"ridge-parallel a+b", "ridge-upper-ladder a+b", "ridge-ensemble a+b"} <= set(named)

    labels = {part: TASK.pixels(part).labels for part in ("train", "val")}
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
