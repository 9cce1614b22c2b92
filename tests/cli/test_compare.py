"""`convgraft compare` from end to end, on handwritten digits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import convgraft

from convgraft.cli.compare_steps import Told, read_asked
from convgraft.cli.main import spread_values
from convgraft.errors import UsageError
from convgraft.studies import read_study

TINY = "python:helpers:Tiny"
SMALL = ("--image-size", 8, "--batch-size", 10, "--augment", "none")
COMMAND = ("compare", "digits", "--models", TINY, TINY, *SMALL)
BASELINES = ("--baselines", "distilled", "equal-cost", "random-front")


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("studies") / "joins"
    arms = ("cross-skip:start=one", "stitch:at=conv,loss=task,freeze=all")
    outcome = convgraft(
        *COMMAND, *BASELINES, "--strategies", *arms, "--limits", 20, "--epochs", 1, "--out", out
    )
    assert outcome.code == 0, outcome.err
    assert "the best single network on larger images" in outcome.err
    assert "equal-cost-b: at 16 pixels, 2 times its side" in outcome.err
    return out


def test_a_comparison_has_its_arms_and_its_baselines(folder: Path) -> None:
    assert {line["arm"] for line in lines_in(folder)} == {
        *("cross-skip-one", "stitch-conv-task-all", "stitch-conv-task-all-random-front"),
        *("finetune-a", "finetune-b", "average-finetune"),  # which teach
        *("distilled-a", "distilled-b", "equal-cost-a", "equal-cost-b"),
    }
    assert not any("failed" in line for line in lines_in(folder))
    names = {path.name for path in folder.iterdir()}
    assert {"study.yaml", "study.json", "summary.md", "table.md", "figure.svg"} <= names


def test_what_was_asked_for_is_kept_as_a_file_that_does_it_again(folder: Path) -> None:
    file = read_study(folder / "study.yaml")
    assert (file.name, file.data, file.limits) == ("joins", "digits", (20,))
    assert file.baselines == BASELINES[1:]
    assert dict(file.models) == {"a": TINY, "b": TINY}
    before = (folder / "results.jsonl").read_text()
    outcome = convgraft("compare", folder / "study.yaml", "--json")
    assert outcome.code == 0, outcome.err
    assert "going on with the 10 results" in outcome.err
    assert (folder / "results.jsonl").read_text() == before
    told = json.loads(outcome.out)
    assert {one["against"] for one in told["comparisons"]} == {
        *("average vote", "best single", "best equal-cost", "best distilled"),
        "own random front",
    }


def test_a_comparison_grows_by_arms_and_limits_and_its_file_tells_all(
    folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folder, tmp_path / "joins"))
    before = (folder / "results.jsonl").read_text()
    more = ("--strategies", "ladder:head=ridge", "--limits", 30, "--only", "ladder-ridge")
    outcome = convgraft(*COMMAND, *more, "--epochs", 1, "--out", folder)
    assert outcome.code == 0, outcome.err
    after = (folder / "results.jsonl").read_text()
    assert after.startswith(before)
    assert [line["arm"] for line in lines_in(folder)[10:]] == ["ladder-ridge"]
    file = read_study(folder / "study.yaml")
    assert [design.name for design in file.arms][-1] == "ladder-ridge"
    assert (len(file.arms), file.limits) == (3, (20, 30))


def test_an_arm_that_is_another_one_now_is_refused(folder: Path) -> None:
    other = ("--strategies", "ladder:name=cross-skip-one", "--baselines", "probe")
    outcome = convgraft(*COMMAND, *other, "--epochs", 2, "--limits", 20, "--out", folder)
    assert outcome.code == 2
    assert "the arm cross-skip-one" in outcome.err


def test_options_overrule_a_study_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"study: mine\nmodels: {{one: '{TINY}', other: '{TINY}'}}\narms: [ladder]\n"
        "baselines: [probe]\nimage_size: 8\nlimits: [20]\nepochs: 9\n"
        "training: {batch_size: 10, augment: none, lr: 0.5}\n"
    )
    out = tmp_path / "out"
    budget = ("--budget-seconds", 0.001, "--lr", 0.01)
    outcome = convgraft("compare", path, "--data", "digits", *budget, "--out", out)
    assert outcome.code == 0, outcome.err
    assert "depends on the machine" in outcome.err
    assert "depends on the machine" in (out / "summary.md").read_text()
    lines = {line["arm"]: line for line in lines_in(out)}
    assert set(lines) == {"ladder", "probe-one", "probe-other", "average-probe"}
    assert (lines["ladder"]["epochs"], lines["ladder"]["epochs_trained"]) == (9, 1)
    kept = read_study(out / "study.yaml")
    assert (kept.name, kept.data, kept.options["lr"]) == ("mine", "digits", 0.01)
    assert kept.options["budget_seconds"] == 0.001


FILE = "arms: [ladder]\nmodels: [A]\n"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Told(None, Path("x")), "there is nothing to compare"),
        (Told("digits", Path("x")), "names no models"),
        (Told("digits", Path("x"), models=["A"]), "names no arms"),
        (Told("digits", Path("x"), data="digits", models=["A"]), "named twice"),
        (Told("digits", models=["A"], strategies=["ladder"]), "no folder for the study"),
        (Told("digits", Path("x"), models=["A"], strategies=["lader"]), "no strategy called"),
        (Told("FILE", Path("x")), "names no images"),
        (Told("FILE", data="digits"), "no folder for the study"),
        (Told("none.yaml", Path("x")), "cannot be read"),
    ],
)
def test_what_is_missing_is_told(told: Told, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    if told.what == "FILE":
        told = Told(str(path), told.out, told.data)
    with pytest.raises(UsageError, match=said):
        read_asked(told)


def test_wrong_use_is_told_before_any_work(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arms = ("--strategies", "cross-skip:stat=one")
    outcome = convgraft(*COMMAND, *arms, "--out", out)
    assert outcome.code == 2 and "did you mean start?" in outcome.err
    outcome = convgraft(*COMMAND, "--strategies", "ladder", "--baselines", "vote", "--out", out)
    assert outcome.code == 2 and "no baseline called" in outcome.err
    assert not out.exists()


def test_arms_and_baselines_take_several_values() -> None:
    spread = spread_values(["compare", "--strategies", "a", "b", "--baselines", "probe", "own"])
    assert spread == [
        *("compare", "--strategies", "a", "--strategies", "b"),
        *("--baselines", "probe", "--baselines", "own"),
    ]
    assert spread_values(["fit", "DATA", "--baselines"]) == ["fit", "DATA", "--baselines"]
