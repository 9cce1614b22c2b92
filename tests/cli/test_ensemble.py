"""`convgraft ensemble`, as a user sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers_cli import convgraft

from convgraft.data import load_pixels, open_images, read_split
from convgraft.export import load
from helpers import same_state

NETS = ("cifar_resnet20", "cifar_resnet20")
ALL = ("average", "logits", "hard", "plurality", "weighted", "stack", "greedy", "cascade")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All votes of two untrained networks, fitted and tested on digits."""
    out = tmp_path_factory.mktemp("ensemble") / "run"
    outcome = convgraft(
        "ensemble", *NETS, "--data", "digits", "--held-out", 60, "--vote", *ALL,
        "--test", "digits", "--image-size", 8, "--out", out, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    (out.parent / "run.json").write_text(outcome.out)
    return out


@pytest.fixture(scope="module")
def told(made: Path) -> dict:
    return json.loads((made.parent / "run.json").read_text())


def test_every_member_and_every_vote_has_a_row(told: dict) -> None:
    assert [row["answer"] for row in told["rows"]] == ["a", "b", *ALL[1:], "label"]
    assert told["vote"] == "average"
    assert told["fitted_on"]["images"] == 60
    assert {row["held_out"]["images"] for row in told["rows"]} == {60}
    macs = {row["answer"]: row["macs"] for row in told["rows"]}
    assert macs["label"] == macs["a"] + macs["b"]
    assert macs["a"] <= macs["cascade"] <= macs["label"]


def test_the_weighted_vote_is_not_below_its_members_on_held_out_images(told: dict) -> None:
    top1 = {row["answer"]: row["held_out"]["top1"] for row in told["rows"]}
    assert top1["weighted"] >= max(top1["a"], top1["b"])
    assert top1["greedy"] >= max(top1["a"], top1["b"])
    assert list(told["votes"]) == ["weighted", "stack", "greedy", "cascade"]


def test_the_run_answers_as_it_was_measured(made: Path, told: dict) -> None:
    run = load(made)
    assert run.labels == tuple(map(str, range(10)))
    data = open_images("digits")
    metrics = run.metrics["test"]["label"]
    outcome = convgraft("evaluate", made, "digits", "--json")
    assert outcome.code == 0, outcome.err
    assert metrics["images"] == 359
    pixels = load_pixels(data, 8, indices=range(20))
    with torch.no_grad():
        outputs = run.composite(pixels.images)
    mean = (outputs["a"].softmax(1) + outputs["b"].softmax(1)) / 2
    torch.testing.assert_close(run.probabilities(pixels.images), mean)
    weights = list(told["votes"]["weighted"]["weights"].values())
    mixed = sum(w * outputs[k].softmax(1) for w, k in zip(weights, "ab", strict=True))
    torch.testing.assert_close(outputs["weighted"].softmax(1), mixed)


def test_a_cascades_measured_share_and_cost_are_told(told: dict) -> None:
    stages = told["stages"]["cascade"]
    assert max(stages["shares"].values()) == 1
    assert stages["seconds"] > 0
    row = next(row for row in told["rows"] if row["answer"] == "cascade")
    assert row["macs"] == round(stages["macs"])


def test_bare_networks_get_a_word_on_the_bias(told: dict, made: Path) -> None:
    assert "a, b did not train on" in told["bias"]
    assert told["bias"] in (made / "card.md").read_text()


def test_without_data_the_average_is_kept(tmp_path: Path, weights: Path) -> None:
    out = tmp_path / "run"
    outcome = convgraft("ensemble", f"{NETS[0]}@{weights}", NETS[1], "--out", out)
    assert outcome.code == 0, outcome.err
    assert "0 to 9" in outcome.err
    assert "label: average" in outcome.out
    assert "top-1" not in outcome.out and "MACs" in outcome.out  # there is nothing to tell of it
    assert load(out).labels == tuple(map(str, range(10)))


def test_runs_are_fitted_on_what_they_kept_for_validation(
    run: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    second = run / "baselines" / "finetune-b"
    outcome = convgraft(
        "ensemble", run, second, "--vote", "weighted", "--data", pictures, "--test", pictures,
        "--out", out, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    data = open_images(pictures)
    split = read_split(run / "split.csv", data)
    assert told["fitted_on"] == {"part": "validation part of the runs", "images": len(split.val)}
    assert told["rows"][-1]["test"]["images"] == len(split.test)
    alone = json.loads((run / "metrics.json").read_text())["test"]["label"]
    assert told["rows"][0]["test"]["top1"] == pytest.approx(alone["top1"])
    made = load(out)
    assert made.labels == data.classes
    pixels = load_pixels(data, 16, indices=range(6))
    torch.testing.assert_close(
        made.composite(pixels.images)["a"].softmax(1),
        load(run).probabilities(pixels.images),
    )


def test_runs_of_a_known_split_need_no_word_on_bias(
    run: Path, pictures: Path, tmp_path: Path
) -> None:
    given = ("ensemble", run, run, "--vote", "greedy", "--data", pictures, "--json")
    kept = json.loads(convgraft(*given, "--out", tmp_path / "a").out)
    assert kept["bias"] is None
    trained = json.loads(convgraft(*given, "--split", "train", "--out", tmp_path / "b").out)
    assert "a, b trained on images" in trained["bias"]


def test_the_same_command_makes_the_same_weights(tmp_path: Path) -> None:
    states = []
    for name in "ab":
        outcome = convgraft(
            "ensemble", *NETS, "--data", "digits", "--vote", "stack", "--image-size", 8,
            "--out", tmp_path / name,
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert "C = " in outcome.err
        assert "held-out top-1" in outcome.out and "test top-1" not in outcome.out
        states.append(load(tmp_path / name).composite)
    assert same_state(*states)


def test_a_finished_run_is_replaced_only_when_asked(made: Path, tmp_path: Path) -> None:
    out = shutil.copytree(made, tmp_path / "run")
    assert convgraft("ensemble", *NETS, "--out", out).code == 2
    assert convgraft("ensemble", *NETS, "--out", out, "--overwrite").code == 0
    assert load(out).plan.outputs == ("a", "b", "label")


def test_an_ensemble_is_a_member_of_another_one(made: Path, tmp_path: Path) -> None:
    outcome = convgraft("ensemble", made, NETS[0], "--image-size", 8, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    outer = load(tmp_path / "run")
    pixels = load_pixels(open_images("digits"), 8, indices=range(6)).images
    with torch.no_grad():
        outputs = outer.composite(pixels)
    torch.testing.assert_close(outputs["a"].softmax(1), load(made).probabilities(pixels))
