"""`convgraft study` from end to end, on handwritten digits."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_cli import convgraft
from PIL import Image

from convgraft.cli.leak_check import leak_notes, leaks_of
from convgraft.cli.leak_file import write_leaks
from convgraft.cli.main import spread_values
from convgraft.cli.study_outcome import outcome_of
from convgraft.cli.study_steps import Setting, read_epochs, read_limits, read_seeds
from convgraft.data import Leak, open_images
from convgraft.errors import UsageError
from convgraft.studies import STUDIES, Cell, Predictions, StudyStore
from convgraft.training import FitOptions

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
    assert outcome.err.endswith(f"figure.svg; next: convgraft report {out} --open\n")
    return out


def test_a_study_leaves_its_lines_a_table_a_summary_and_a_figure(folder: Path) -> None:
    names = {"results.jsonl", "study.json", "table.md", "summary.md", "figure.png", "figure.svg"}
    names |= {"predictions"}
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
    assert told.count("ladder has a mean test top-1 of ") == 2
    assert "chosen for every seed by validation" in told
    with Image.open(folder / "figure.png") as picture:
        assert picture.width > 1000


def test_a_study_grows_by_another_limit_and_keeps_what_it_has(folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder, tmp_path / "ladder"))
    before = (folder / "results.jsonl").read_text()
    outcome = convgraft(*COMMAND, "--limits", 40, "--epochs", 1, "--out", folder, "--json")
    assert outcome.code == 0, outcome.err
    assert "going on with the 8 results" in outcome.err
    told = json.loads(outcome.out)
    assert (told["study"], len(told["lines"]), len(told["summary"])) == ("ladder", 10, 6)
    assert (folder / "results.jsonl").read_text().startswith(before)


def planted(folder: Path, *, leak: bool) -> Path:
    """Two classes of ten pictures each; with a leak every one of them twice, under two names."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            path = folder / name / f"{number:02}.png"
            if leak and number % 2:
                path.write_bytes((folder / name / f"{number - 1:02}.png").read_bytes())
            else:
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return folder


LEAKY = (
    *("--models", TINY, TINY, "--image-size", 8, "--batch-size", 10, "--augment", "none"),
    *("--epochs", 1, "--only", "ladder", "average-probe"),
)


def test_a_planted_leak_is_refused_when_asked_for_and_named_before_any_training(
    tmp_path: Path,
) -> None:
    data, out = planted(tmp_path / "data", leak=True), tmp_path / "out"
    outcome = convgraft("study", "ladder", data, *LEAKY, "--out", out, "--strict")
    assert outcome.code == 2
    digest = re.search(r"sha256 ([0-9a-f]{12}): (\w+) (\S+), (\w+) (\S+)", outcome.err)
    assert digest is not None
    for place in (digest[3], digest[5]):
        copy = (data / place).read_bytes()
        assert hashlib.sha256(copy).hexdigest()[:12] == digest[1]
    assert digest[2] != digest[4]
    assert not out.exists()


def test_a_leak_is_counted_and_a_verdict_is_given(tmp_path: Path) -> None:
    data, out = planted(tmp_path / "data", leak=True), tmp_path / "out"
    outcome = convgraft("study", "ladder", data, *LEAKY, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert list(told["leaks"]) == ["all-0"] and told["failed"] == []
    assert [one["against"] for one in told["comparisons"]] == ["average vote", "best single"]
    for one in told["comparisons"]:
        assert (one["outcome"], one["images"]) == ("tie", 8)  # so few images tell nothing
    summary = (out / "summary.md").read_text()
    assert "In 1 of 1 cells some pictures are in more than one part" in summary
    tested = sum("test" in dict(leak["places"]) for leak in told["leaks"]["all-0"])
    assert f"at most {tested} of them in the test part (in all-0)" in summary
    assert "no join beats the average vote here" in summary
    assert "One seed only" in summary and "Only 8 test images" in summary
    assert all(sentence in summary for sentence in told["verdict"])


def test_without_leaks_nothing_is_said(tmp_path: Path) -> None:
    images = open_images(str(planted(tmp_path / "data", leak=False)))
    assert leaks_of(images, [Cell(None, 0), Cell(None, 1)], strict=True) == {}
    assert leak_notes({}, 2) == []


def test_another_study_is_refused_and_told_why(folder: Path) -> None:
    outcome = convgraft(*COMMAND, "--limits", 20, "--epochs", 2, "--lr", 0.1, "--out", folder)
    assert outcome.code == 2
    assert "holds another study" in outcome.err
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


def test_seeds_are_added_to_a_study_by_their_numbers() -> None:
    assert read_seeds("5:8") == (5, 6, 7)
    with pytest.raises(UsageError, match="seeds cannot be read"):
        read_seeds("0")
    images, epochs = open_images("digits"), {20: 1, None: 1}
    setting = Setting(STUDIES["ladder"], images, [], 8, FitOptions(), epochs, (5, 7))
    assert [cell.name for cell in setting.cells] == ["20-5", "20-7", "all-5", "all-7"]


def written_by_hand(folder: Path) -> StudyStore:
    """A study with two cells, in the first of which a probe's predictions cannot be read."""
    store = StudyStore.claim(folder, {})
    for seed in (0, 1):
        for arm, kind, baseline in (("ladder", "join", ""), ("probe-a", "baseline", "probe")):
            right = torch.arange(8) % 4 > seed
            chances = torch.stack([~right, right], 1).float()
            path = store.predictions_path(f"20-{seed}", arm)
            found = Predictions(tuple("abcdefgh"), torch.ones(8).long(), chances, ("x", "y"))
            found.save(path)
            store.append({
                "cell": f"20-{seed}", "arm": arm, "kind": kind, "baseline": baseline, "limit": 20,
                "seed": seed, "epochs": 1, "training_images": 20, "val": 0.5, "macs": 1,
                "parameters": 1, "trainable": 1, "seconds": 1.0, "test": found.metrics().as_dict(),
            })  # fmt: skip
    store.predictions_path("20-0", "probe-a").write_bytes(b"")
    return store


def test_a_summary_tells_the_leaks_of_all_calls_and_what_cannot_be_read(tmp_path: Path) -> None:
    store = written_by_hand(tmp_path / "s")
    leak = Leak("ab" * 32, (("train", "1.png"), ("test", "2.png")))
    write_leaks(tmp_path / "s", {"20-0": [leak]})
    outcome = outcome_of(store, {}, [Cell(20, 1)])
    assert outcome.leaks == {"20-0": [leak]}
    assert "In 1 of 2 cells some pictures are in more than one part" in outcome.notes[-1]
    assert "The predictions of probe-a in 20-0 cannot be read" in outcome.remarks[-1]
    assert [one.seeds for one in outcome.comparisons] == [1]


def test_hashing_is_told_as_it_goes_on(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    images = open_images(str(planted(tmp_path / "data", leak=False)))
    leaks_of(images, [Cell(None, 0)], report=lambda *step: told.append(step))
    assert told == [("copies among images", 40, 40)]


def test_epochs_take_several_values_in_a_study_and_one_in_a_fit() -> None:
    spread = spread_values(["study", "--epochs", "4=2", "1"])
    assert spread == ["study", "--epochs", "4=2", "--epochs", "1"]
    assert spread_values(["fit", "--epochs", "2", "DATA"]) == ["fit", "--epochs", "2", "DATA"]
