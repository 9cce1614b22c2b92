"""`convgraft search` from end to end, on handwritten digits."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers_cli import convgraft, write_pictures
from PIL import Image

from convgraft.cli import search_steps
from convgraft.cli.search_steps import open_setting, read_macs
from convgraft.errors import UsageError
from convgraft.export import CARD, load
from convgraft.export.artifact import change_notes
from convgraft.studies.search import Rules

MODELS = ("--models", "cifar_resnet20", "cifar_resnet20")
COMMAND = (
    *("search", "digits", *MODELS, "--image-size", 8, "--limit", 30),
    *("--minutes", 5, "--trials", 2, "--accelerator", "cpu"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("searches") / "one"
    outcome = convgraft(*COMMAND, "--out", out)
    assert outcome.code == 0, outcome.err
    assert "chosen of 2 trials" in outcome.err
    assert "best single network" in outcome.err
    return out


def test_a_search_leaves_its_trials_its_front_and_a_run(folder: Path) -> None:
    names = {"trials.jsonl", "predictions.json", "front.md", "front.json", "front.png", "front.svg"}
    assert names <= {path.name for path in folder.iterdir()}
    assert not (folder / "kept").exists()
    lines = [json.loads(text) for text in (folder / "trials.jsonl").read_text().splitlines()]
    told = json.loads((folder / "front.json").read_text())
    best = max(lines, key=lambda line: (line["val"], -line["macs"]))
    assert told["chosen"]["name"] == best["name"]
    assert told["front"][-1]["name"] == best["name"]
    assert f"| {best['name']} |" in (folder / "front.md").read_text()
    with Image.open(folder / "front.png") as picture:
        assert picture.width > 1000


def test_the_run_is_a_runs_like_any_and_the_test_part_was_read_once(folder: Path) -> None:
    run = load(folder / "best")
    assert len(run.metrics["test_reads"]) == 1
    assert run.metrics["data"]["training_images"] == 30
    outcome = convgraft("evaluate", folder / "best", "digits", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads((folder / "front.json").read_text())
    measured = json.loads(outcome.out)
    assert measured["part"] == "test part of the run"
    assert measured["top1"] == pytest.approx(told["chosen"]["test"]["top1"])
    assert convgraft("explain", folder / "best").code == 0


def test_a_finished_search_is_told_again_and_nothing_is_trained(folder: Path) -> None:
    before = (folder / "trials.jsonl").read_text(), (folder / "elapsed.json").read_text()
    outcome = convgraft(*COMMAND, "--out", folder, "--json")
    assert outcome.code == 0, outcome.err
    assert "going on with the 2 trials" in outcome.err
    assert json.loads(outcome.out) == json.loads((folder / "front.json").read_text())
    after = (folder / "trials.jsonl").read_text(), (folder / "elapsed.json").read_text()
    assert after == before


class Killed(BaseException):
    """Stands for a process that is gone."""


def test_a_search_killed_while_it_is_tested_keeps_its_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More trials are asked for, one of them better: it is not trained, and nothing is refused."""

    def killed(*_: object) -> None:
        raise Killed

    one = (*COMMAND, "--out", tmp_path / "out", "--trials")
    with monkeypatch.context() as patch:
        patch.setattr(search_steps.pipeline, "run_arms", killed)
        with pytest.raises(Killed):
            convgraft(*one, 1)
    lines = tmp_path / "out" / "trials.jsonl"
    assert len(lines.read_text().splitlines()) == 1
    better = json.loads(lines.read_text()) | {"number": 1, "key": "better", "val": 1.0}
    del better["crc32"]
    with lines.open("a") as file:
        file.write(json.dumps(better) + "\n")
    outcome = convgraft(*one, 3, "--json")
    assert outcome.code == 0, outcome.err
    assert "nothing more is trained" in outcome.err
    assert len(lines.read_text().splitlines()) == 2
    assert json.loads(outcome.out)["chosen"]["number"] == 0


def test_a_search_killed_before_it_told_how_its_choice_was_solved(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "one"
    shutil.copytree(folder, out)
    solved = json.loads((out / "best" / "metrics.json").read_text())["fit"]
    assert solved["solved by"] == "ridge regression, in closed form"
    card = (out / "best" / CARD).read_text()
    run = load(out / "best", trust_python=True)
    change_notes(out / "best", {**run.metrics, "fit": {"optimiser": "adamw"}}, "a card")
    for name in ("SHA256SUMS", "metrics.json"):  # killed before either of them
        assert convgraft(*COMMAND, "--out", out).code == 0
        assert json.loads((out / "best" / "metrics.json").read_text())["fit"] == solved
        assert (out / "best" / CARD).read_text() == card
        assert (out / "best" / "SHA256SUMS").is_file()
        if name == "SHA256SUMS":
            (out / "best" / name).unlink()


def test_another_search_in_the_folder_is_refused(folder: Path) -> None:
    outcome = convgraft(*COMMAND, "--max-macs", "1G", "--out", folder)
    assert outcome.code == 2
    assert "other values of ceiling" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*MODELS, "--minutes", 0), "--minutes cannot be read"),
        ((*MODELS, "--max-macs", "many"), "200M, 1.5G or 2e8"),
        ((*MODELS, "--max-latency", -1), "--max-latency cannot be read"),
        ((*MODELS, "--limit", 5), "cannot be met"),
        (("--models", "cifar_resnet21"), "did you mean"),
        ((*MODELS, "--target", "fine"), "digits"),
    ],
)
def test_wrong_use_is_told_before_any_work(
    arguments: tuple[object, ...], said: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = convgraft("search", "digits", *arguments, "--image-size", 8, "--out", out)
    assert outcome.code == 2
    assert said in outcome.err
    assert not out.exists()


def test_networks_for_small_images_keep_their_size() -> None:
    names = ["cifar_resnet20", "torchvision/squeezenet1_1"]
    given = open_setting("digits", names, 100, None, 10, Rules(1.0), strict=False).given
    assert given.image_size == 100
    assert [one.preprocessing.size for one in given.sources.values()] == [32, None]


def test_macs_have_units() -> None:
    assert [read_macs(text) for text in ("200M", "1.5g", "2e8", None)] == [2e8, 1.5e9, 2e8, None]
    for wrong in ("M", "-1", "nan", "inf", "1T"):
        with pytest.raises(UsageError):
            read_macs(wrong)


def test_pictures_in_several_parts_are_told_before_the_search(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data", 10)
    for picture in list(data.rglob("*.png")):
        shutil.copy(picture, picture.with_stem(f"{picture.stem}-copy"))
    command = ("search", data, *MODELS, "--image-size", 8, "--minutes", 5, "--trials", 1)
    outcome = convgraft(*command, "--accelerator", "cpu", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert re.search(r"sha256 [0-9a-f]{12}: .*-copy", outcome.err)
