"""`convgraft fewshot` from end to end, on small pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers_cli import convgraft

from convgraft.cli import fewshot_steps
from convgraft.cli.runs_as_models import Learned
from convgraft.data import Split

NET = "cifar_resnet20"
SMALL = ("--image-size", 16, "--ways", 3, "--queries", 6, "--episodes", 8)


def test_every_head_and_arm_is_told_and_written(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "fewshot"
    command = ("fewshot", pictures, "--models", NET, NET, *SMALL, "--shots", "5,1", "--out", out)
    outcome = convgraft(*command, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    names = ("fewshot.json", "fewshot.md", "figure.png", "figure.svg")
    assert told.pop("files") == [str(out / name) for name in names]
    assert all((out / name).is_file() for name in names)
    assert told == json.loads((out / "fewshot.json").read_text())
    assert (told["shots"], told["images"], told["classes"]) == ([1, 5], 36, 3)
    assert len(told["scores"]) == 3 * 2 * 4
    assert len(told["differences"]) == 3 * 2 * 3
    assert all(one["low"] <= one["accuracy"] <= one["high"] for one in told["scores"])
    assert all(one["accuracy"] > 0.8 for one in told["scores"] if one["shots"] == 5)
    again = convgraft(*command)
    assert json.loads((out / "fewshot.json").read_text()) == told
    assert "3-way 1-shot" in again.out
    assert f"{NET} (b)" in again.out
    assert "joined features" in again.err
    assert f"written: {out / 'fewshot.md'}" in again.err


def test_one_network_has_nothing_to_be_joined_with(pictures: Path) -> None:
    outcome = convgraft(
        *("fewshot", pictures, "--models", NET, *SMALL, "--heads", "prototype", "--json")
    )
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert {one["arm"] for one in told["scores"]} == {NET}
    assert told["differences"] == []


def test_a_run_that_knows_the_images_is_named(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = Learned("runs/one", Split((0, 1), (2,), (3,), seed=0))
    monkeypatch.setattr(fewshot_steps, "runs_among", lambda *_: [learned])
    outcome = convgraft("fewshot", pictures, "--models", NET, *SMALL, "--heads", "ridge")
    assert outcome.code == 0, outcome.err
    assert "runs/one has learned from images of this set" in outcome.err


def test_a_broken_image_is_left_out_and_named(pictures: Path, tmp_path: Path) -> None:
    data = shutil.copytree(pictures, tmp_path / "data")
    (data / "red" / "00.png").write_bytes(b"no picture")
    command = ("fewshot", data, "--models", NET, *SMALL, "--heads", "ridge")
    outcome = convgraft(*command, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["left_out"] == ["red/00.png"]
    assert "left out: red/00.png" in outcome.err
    few = convgraft(*command, "--queries", 7)
    assert few.code == 2
    assert "red has 11" in few.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ways", 4), "--ways from 2 to 3"),
        (("--ways", 1), "--ways is 1"),
        (("--ways", 3, "--shots", "1,20"), "blue has 12"),
        (("--ways", 3, "--queries", 15), "--queries 7 or fewer"),
        (("--ways", 3, "--queries", 0), "--queries is 0"),
        (("--shots", "one"), "--shots 1,5"),
        (("--shots", "0"), "1 or more"),
        (("--episodes", 1), "--episodes is 1"),
        (("--seed", -1), "--seed is -1"),
        (("--heads", "prototypes"), "did you mean prototype"),
        (("--heads", ","), "prototype, linear, ridge"),
        (("--ways", 3, "--queries", 5, "--target", "fine"), "fine"),
        (("--ways", 3, "--queries", 5, "--models", "cifar_resnet21"), "cifar_resnet20"),
        (("--head", "ridge"), "--head"),
    ],
)
def test_wrong_use(
    arguments: tuple[object, ...], said: str, pictures: Path, tmp_path: Path
) -> None:
    models = () if "--models" in arguments else ("--models", NET, NET)
    out = tmp_path / "out"
    outcome = convgraft("fewshot", pictures, *models, *arguments, "--out", out)
    assert outcome.code == 2, outcome.err
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert not out.exists()


def test_results_are_not_written_over_a_file(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    outcome = convgraft("fewshot", pictures, "--models", NET, *SMALL, "--out", tmp_path / "file")
    assert outcome.code == 2
    assert "is a file" in outcome.err


def test_data_that_is_not_there_is_told() -> None:
    outcome = convgraft("fewshot", "no-such-folder", "--models", NET)
    assert outcome.code == 2
    assert "does not exist" in outcome.err
