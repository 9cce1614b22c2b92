"""Runs that are solved and not trained go through everything that other runs do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers_cli import Outcome, convgraft

from convgraft.plan import read_plan

NETWORKS = ("--models", "cifar_resnet20", "cifar_resnet32", "--image-size", 8, "--limit", 60)


def fit(*words: object) -> Outcome:
    return convgraft("fit", "digits", *NETWORKS, *words)


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("solved") / "run"
    outcome = fit("--strategy", "ladder", "--head", "ridge", "--lr", 0.5, "--out", folder)
    assert outcome.code == 0, outcome.err
    assert "no gradient step" in outcome.err + outcome.out
    return folder


def test_its_card_tells_of_no_training_that_was_none(solved: Path) -> None:
    card = (solved / "card.md").read_text()
    assert "least squares, in closed form" in card
    assert "lr:" not in card
    assert "optimiser" not in card
    assert json.loads((solved / "metrics.json").read_text())["penalties"]["label"] > 0


def test_it_is_explained_and_evaluated_as_any_other(solved: Path) -> None:
    explained = convgraft("explain", solved, "--json")
    assert explained.code == 0, explained.err
    learns = {row["part"]: row["learn"] for row in json.loads(explained.out)["learns"]}
    assert learns["heads.label"] > 0
    assert learns["sources.a"] == learns["sources.b"] == 0
    evaluated = convgraft("evaluate", solved, "digits", "--json")
    assert evaluated.code == 0, evaluated.err
    told = json.loads((solved / "metrics.json").read_text())["test"]["label"]["top1"]
    assert json.loads(evaluated.out)["top1"] == pytest.approx(told)


def test_a_stitch_by_likeness_and_its_random_front_are_cut_alike(tmp_path: Path) -> None:
    out = tmp_path / "run"
    outcome = fit(
        "--strategy", "stitch", "--pairs", "likeness", "--random-front", "--classifier", "own",
        "--epochs", 1, "--augment", "none", "--out", out,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    plans = [read_plan(folder / "plan.yaml") for folder in (out, out / "baselines/random-front")]
    assert plans[0].wires == plans[1].wires


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strategy", "ladder", "--head", "ridge", "--dropout", 0.3), "dropout"),
        (("--strategy", "stitch", "--pairs", "likeness", "--at", "layer1"), "by likeness"),
        (("--strategy", "cross-skip", "--pairs", "magic"), "shape or likeness"),
        (("--strategy", "cross-skip", "--pairs", "likeness", "--limit", 15), "too few"),
    ],
)
def test_wrong_use(words: tuple[object, ...], message: str, tmp_path: Path) -> None:
    outcome = fit(*words, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("{kind: ridge, from: ['a:flatten'], classes: 7}", "tells 7 classes apart"),
        ("{kind: ridge, from: ['a:flatten'], column: nosuch, classes: 10}", "nosuch"),
        ("{kind: ridge, from: ['a:flatten'], classes: 10, dropout: 0.4}", "no dropout"),
    ],
)
def test_a_plan_that_does_not_fit_the_data(head: str, message: str, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "image_size: 8\nsources:\n  a: {network: cifar_resnet20}\nheads:\n  label: " + head + "\n"
    )
    outcome = convgraft(
        "fit", "digits", "--plan", plan, "--freeze", "heads-only", "--out", tmp_path / "run"
    )
    assert outcome.code == 2
    assert message in outcome.err
