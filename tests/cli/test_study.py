"""`convgraft study` from end to end, on handwritten digits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers_cli import convgraft
from PIL import Image

from convgraft.cli.main import spread_values
from convgraft.cli.study_steps import read_epochs, read_limits
from convgraft.errors import UsageError
from convgraft.studies import STUDIES

TINY = "python:helpers:Tiny"
COMMAND = (
    *("study", "ladder", "digits", "--models", TINY, TINY),
    *("--image-size", 8, "--batch-size", 10, "--augment", "none", "--only", "ladder", "probe-a"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("studies") / "ladder"
    limits = ("--limits", 20, 30, "--seeds", 2, "--epochs", "20=2", "30=1")
    outcome = convgraft(*COMMAND, *limits, "--out", out)
    assert outcome.code == 0, outcome.err
    assert "error / single" in outcome.out
    return out


def test_a_study_leaves_its_lines_a_table_a_summary_and_a_figure(folder: Path) -> None:
    names = {"results.jsonl", "study.json", "table.md", "summary.md", "figure.png", "figure.svg"}
    assert names <= {path.name for path in folder.iterdir()}
    lines = [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]
    assert {(x["arm"], x["limit"], x["seed"], x["epochs"]) for x in lines} == {
        (arm, limit, seed, epochs)
        for arm in ("ladder", "probe-a")
        for limit, epochs in ((20, 2), (30, 1))
        for seed in (0, 1)
    }
    assert (folder / "table.md").read_text().count("| ladder |") == 2
    told = (folder / "summary.md").read_text()
    assert told.count("ladder has the highest mean test top-1") == 2
    assert "chosen for every seed by validation" in told
    with Image.open(folder / "figure.png") as picture:
        assert picture.width > 1000


def test_a_study_grows_by_another_limit_and_keeps_what_it_has(folder: Path) -> None:
    before = (folder / "results.jsonl").read_text()
    outcome = convgraft(*COMMAND, "--limits", 40, "--epochs", 1, "--out", folder, "--json")
    assert outcome.code == 0, outcome.err
    assert "going on with the 8 results" in outcome.err
    told = json.loads(outcome.out)
    assert (told["study"], len(told["lines"]), len(told["summary"])) == ("ladder", 10, 6)
    assert (folder / "results.jsonl").read_text().startswith(before)


def test_another_study_is_refused_and_told_why(folder: Path) -> None:
    outcome = convgraft(*COMMAND, "--limits", 20, "--epochs", 2, "--lr", 0.1, "--out", folder)
    assert outcome.code == 2
    assert "holds results of another study" in outcome.err
    assert "options" in outcome.err
    longer = convgraft(*COMMAND, "--limits", 20, "--epochs", 3, "--out", folder)
    assert longer.code == 2
    assert "with other epochs" in longer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("study", "stiches", "digits"), "did you mean stitches?"),
        (("study", "ladder", "digits"), "compares networks"),
        (("study", "fixed-filters", "digits", "--only", "sobbel"), "did you mean sobel?"),
        (("study", "fixed-filters", "digits", "--limits", "many"), "numbers of training images"),
        (("study", "fixed-filters", "digits", "--limits", 5), "cannot be met"),
        (("study", "fixed-filters", "digits", "--epochs", "7=1"), "which is not asked for"),
    ],
)
def test_wrong_use_is_told_before_any_work(
    arguments: tuple[object, ...], said: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    network = ("--models", TINY, "--image-size", 8)
    outcome = convgraft(*arguments, *network, "--out", out)
    assert outcome.code == 2
    assert said in outcome.err
    assert not out.exists()


def test_too_few_epochs_for_an_arm_are_told_before_any_is_trained(tmp_path: Path) -> None:
    outcome = convgraft(
        "study", "strategies", "digits", "--models", TINY, TINY,
        "--image-size", 8, "--epochs", 1, "--only", "parallel-sum", "stitch", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 2
    assert "too few for 2 stages" in outcome.err
    assert not (tmp_path / "out").exists()


def test_help_lists_every_preset() -> None:
    told = convgraft("study", "--help").out
    assert all(f"{name}:" in told for name in STUDIES)


def test_limits_and_epochs() -> None:
    limits = read_limits(["100", "all", "100"])
    assert limits == [100, None]
    assert read_limits([]) == [None]
    assert read_epochs(["100=20", "6"], limits) == {100: 20, None: 6}
    assert read_epochs(["3"], limits) == {100: 3, None: 3}
    assert read_epochs(["100=20", "all=6"], limits) == {100: 20, None: 6}
    for wrong in (["100=20"], ["x"], ["all=0"], ["50=1", "2"]):
        with pytest.raises(UsageError):
            read_epochs(wrong, limits)


def test_epochs_take_several_values_in_a_study_and_one_in_a_fit() -> None:
    spread = spread_values(["study", "--epochs", "4=2", "1"])
    assert spread == ["study", "--epochs", "4=2", "--epochs", "1"]
    assert spread_values(["fit", "--epochs", "2", "DATA"]) == ["fit", "--epochs", "2", "DATA"]
