"""A study goes on where it stopped, tests each arm once, and keeps to its configuration."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convgraft.data import open_images, split_images
from convgraft.durable.lines import read_lines
from convgraft.errors import ArtifactError, DataError, RunError
from convgraft.sources import Source, source
from convgraft.strategies import Ingredients, StrategyOptions
from convgraft.studies import (
    Arm,
    Cell,
    Design,
    Predictions,
    Study,
    StudyArm,
    StudyStore,
    Trained,
    cell_work,
    failures,
    finished,
    run_study,
    summarise,
    train_arm,
)
from convgraft.studies.failures import is_full_disk
from convgraft.studies.runner import Report
from convgraft.training import FitOptions, Task
from helpers import Tiny

IMAGES = open_images("digits")
SOURCES = {name: source(Tiny(classes=10, seed=seed)) for seed, name in enumerate("ab")}
CELLS = (Cell(20, 0), Cell(20, 1))


def arms(given: Ingredients) -> list[StudyArm]:
    weighted = StrategyOptions(vote="weighted")
    return [
        StudyArm(Design("cross-skip", freeze="adapters-only")),
        StudyArm(Design("ensemble", weighted, freeze="heads-only")),
    ]


STUDY = Study("tiny", "which is it?", arms, ("probe", "own"))
ARMS = [
    *("cross-skip", "ensemble", "probe-a", "probe-b", "own-a", "own-b"),
    *("average-probe", "average-own"),
]


def options(cell: Cell) -> FitOptions:
    return FitOptions(epochs=1, batch_size=10, seed=cell.seed)


def quiet(what: str, done: int, total: int) -> None:
    pass


class Opener:
    """Opens cells, and remembers their tasks."""

    def __init__(self, sources: Mapping[str, Source] | None = None) -> None:
        self.sources = sources or SOURCES
        self.tasks: list[Task] = []

    def __call__(self, cell: Cell) -> tuple[Task, Ingredients]:
        split = split_images(IMAGES, seed=cell.seed, limit=cell.limit)
        small = replace(split, val=split.val[:40], test=split.test[:40])
        self.tasks.append(Task(IMAGES, small, 8))
        return self.tasks[-1], Ingredients(self.sources, 8, 10)


def run(folder: Path, report: Report = quiet, study: Study = STUDY) -> list[dict[str, Any]]:
    return run_study(study, CELLS, Opener(), options, StudyStore.claim(folder, {"n": 1}), report)


def untimed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what depends on the machine, and on what lay in the store before."""
    left = ("seconds", "frozen_images", "latency")
    return [{key: value for key, value in line.items() if key not in left} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "study"
    run(folder)
    return folder


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return read_lines(folder / "results.jsonl")


def test_every_arm_of_every_cell_has_a_line(whole: Path) -> None:
    found = [(line["seed"], line["arm"]) for line in lines_in(whole)]
    assert found == [(cell.seed, arm) for cell in CELLS for arm in ARMS]
    assert {path.name for path in whole.iterdir()} == {
        "study.json",
        "results.jsonl",
        "predictions",
        ".lock",
    }


def test_every_arm_leaves_its_predictions_and_they_say_what_its_line_says(whole: Path) -> None:
    for line in lines_in(whole):
        kept = Predictions.load(whole / "predictions" / line["cell"] / f"{line['arm']}.safetensors")
        assert kept.metrics().top1 == line["test"]["top1"]
        assert len(kept.ids) == line["test"]["images"]
        assert kept.metrics().nll == pytest.approx(line["test"]["nll"], rel=1e-3)


def test_lines_tell_what_was_trained_and_what_came_of_it(whole: Path) -> None:
    by_arm = {line["arm"]: line for line in lines_in(whole)[: len(ARMS)]}
    assert len(by_arm["cross-skip"]["gates"]) == 2
    assert by_arm["cross-skip"]["policy"] == "adapters-only"
    weights = by_arm["ensemble"]["votes"]["label"]["weights"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-4)
    members = [by_arm[f"probe-{name}"] for name in "ab"]
    assert by_arm["average-probe"]["seconds"] == sum(line["seconds"] for line in members)
    assert by_arm["average-probe"]["trainable"] == sum(line["trainable"] for line in members)
    assert (by_arm["own-a"]["trainable"], by_arm["own-a"]["seconds"]) == (0, 0)
    assert {line["test"]["images"] for line in by_arm.values()} == {40}


class KilledError(BaseException):
    """As KeyboardInterrupt: no failure of the arm that is being trained."""


def test_a_study_that_was_killed_goes_on_and_ends_in_the_same_rows(
    whole: Path, tmp_path: Path
) -> None:
    def die_in_the_last_probe(what: str, done: int, total: int) -> None:
        if what.startswith("probe-b"):
            raise KilledError

    folder = tmp_path / "study"
    with pytest.raises(KilledError):
        run(folder, die_in_the_last_probe)
    assert [line["arm"] for line in lines_in(folder)] == ARMS[:3]
    with (folder / "results.jsonl").open("a") as file:
        file.write('{"cell": "20-0", "arm": "pro')  # the power went off while it was written
    trained: list[str] = []
    again = run(folder, lambda what, done, total: trained.append(what.partition(",")[0]))
    assert trained.count("cross-skip") == trained.count("probe-a") == 2  # two steps of one seed
    assert trained.count("probe-b") == 4
    assert untimed(again) == untimed(lines_in(folder)) == untimed(lines_in(whole))


def test_what_is_done_is_not_done_again(whole: Path) -> None:
    before = (whole / "results.jsonl").read_bytes()
    opener = Opener()
    run_study(STUDY, CELLS, opener, options, StudyStore.claim(whole, {"n": 1}), quiet)
    assert (whole / "results.jsonl").read_bytes() == before
    assert [task.test_reads for task in opener.tasks] == [[], []]


def test_the_test_part_is_read_once_by_each_arm(tmp_path: Path) -> None:
    opener, study = Opener(), replace(STUDY, only=("probe-a", "own-b"))
    store = StudyStore.claim(tmp_path / "study", {})
    run_study(study, CELLS[:1], opener, options, store, quiet)
    assert opener.tasks[0].test_reads == ["probe-a", "own-b"]
    # more arms may come later; a member's weights wait for its average
    later = run_study(STUDY, CELLS[:1], Opener(), options, store, quiet)
    assert sorted(line["arm"] for line in later) == sorted(ARMS)
    assert not (store.folder / "state").exists()


def failing(name: str, error: Exception) -> Any:
    """`train_arm`, where one arm raises."""

    def train(arm: Arm, *arguments: Any, **more: Any) -> Trained:
        if arm.name == name:
            raise error
        return train_arm(arm, *arguments, **more)

    return train


SOME = replace(STUDY, only=("cross-skip", "probe-a", "probe-b", "average-probe"))


def test_an_arm_that_fails_says_why_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StudyStore.claim(tmp_path / "study", {})
    monkeypatch.setattr(
        cell_work, "train_arm", failing("probe-b", RunError("the loss is not finite"))
    )
    lines: list[dict[str, Any]] = []
    for _ in range(2):  # the second time it fails again, and says so once
        lines = run_study(SOME, CELLS[:1], Opener(), options, store, quiet)
        told = {line["arm"]: line.get("failed") for line in lines}
        assert told == {
            "cross-skip": None,
            "probe-a": None,
            "probe-b": "the loss is not finite",
            "average-probe": "probe-b failed, and the average is of all networks",
        }
    assert len(lines) == 4 and lines == lines_in(store.folder)
    assert [line["arm"] for line in failures(lines)] == ["probe-b", "average-probe"]
    assert [arm.arm for arm in summarise(lines)] == ["cross-skip", "probe-a"]


def test_an_arm_that_failed_is_tried_again_and_the_others_are_not(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StudyStore.claim(tmp_path / "study", {})
    with monkeypatch.context() as broken:
        broken.setattr(cell_work, "train_arm", failing("probe-b", ValueError("no\nnumber")))
        lines = run_study(SOME, CELLS[:1], Opener(), options, store, quiet)
    assert failures(lines)[0]["failed"] == "ValueError: no number"
    opener = Opener()
    again = StudyStore.claim(tmp_path / "study", {})
    lines = run_study(SOME, CELLS[:1], opener, options, again, quiet)
    assert opener.tasks[0].test_reads == ["probe-b", "average-probe"]
    assert failures(lines) == []
    whole_lines = {line["arm"]: line for line in lines_in(whole)[: len(ARMS)]}
    ours = [line for line in untimed(lines) if "failed" not in line]
    assert ours == untimed([whole_lines[line["arm"]] for line in ours])
    assert not (again.folder / "state").exists()


def test_a_network_of_one_class_fails_alone(tmp_path: Path) -> None:
    sources = {"a": SOURCES["a"], "b": source(Tiny(classes=1, seed=1))}
    study = replace(STUDY, only=("cross-skip", "own-a", "own-b"))
    store = StudyStore.claim(tmp_path / "study", {})
    lines = run_study(study, CELLS[:1], Opener(sources), options, store, quiet)
    assert [line["arm"] for line in lines] == ["cross-skip", "own-a", "own-b"]
    assert ["failed" in line for line in lines] == [False, False, True]
    assert "class" in lines[-1]["failed"]
    assert not store.predictions_path("20-0", "own-b").exists()


def test_what_is_wrong_with_the_data_stops_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StudyStore.claim(tmp_path / "study", {})
    monkeypatch.setattr(cell_work, "train_arm", failing("cross-skip", DataError("no images")))
    with pytest.raises(DataError):
        run_study(SOME, CELLS[:1], Opener(), options, store, quiet)
    assert store.lines == []


def test_a_full_disk_stops_the_study_and_no_arm_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = RunError("the disk is full: a chunk was not written")
    cached.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    for number, error in enumerate((
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError('I/O error: Os { code: 28, message: "No space left on device" }'),
        cached,
    )):  # fmt: skip
        store = StudyStore.claim(tmp_path / str(number), {})
        monkeypatch.setattr(cell_work, "train_arm", failing("probe-a", error))
        with pytest.raises(RunError, match="the disk is full"):
            run_study(SOME, CELLS[:1], Opener(), options, store, quiet)
        assert [line["arm"] for line in store.lines] == ["cross-skip"]
    assert not is_full_disk(OSError(errno.EACCES, "Permission denied"))


def test_what_members_are_made_into_later_trains_them_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StudyStore.claim(tmp_path / "study", {})
    members = replace(STUDY, only=("probe-a", "probe-b"))
    before = list(run_study(members, CELLS[:1], Opener(), options, store, quiet))
    assert not (store.folder / "state").exists()
    with monkeypatch.context() as patch:
        patch.setattr(cell_work, "train_arm", otherwise)
        found = run_study(SOME, CELLS[:1], Opener(), options, store, quiet)
    assert found[-1]["failed"].startswith("probe-a had to be trained again for this")
    opener = Opener()
    lines = run_study(STUDY, CELLS[:1], opener, options, store, quiet)
    assert lines[:2] == before and failures(lines) == []
    assert not {"probe-a", "probe-b"} & {*opener.tasks[0].test_reads}  # their lines stay
    whole_lines = {line["arm"]: line for line in untimed(lines_in(whole)[: len(ARMS)])}
    average = next(line for line in finished(untimed(lines)) if line["arm"] == "average-probe")
    assert average == whole_lines["average-probe"]
    assert not (store.folder / "state").exists()


def otherwise(*arguments: Any, **more: Any) -> Trained:
    """`train_arm` with another validation score."""
    trained = train_arm(*arguments, **more)
    return replace(trained, notes={**trained.notes, "val": 2.0})


def test_another_configuration_is_refused(whole: Path) -> None:
    with pytest.raises(ArtifactError, match="another study") as told:
        StudyStore.claim(whole, {"n": 2})
    assert told.value.found == "other values of n"


def test_other_epochs_for_the_same_cells_are_refused(whole: Path) -> None:
    store = StudyStore.claim(whole, {"n": 1})
    with pytest.raises(ArtifactError, match="other epochs"):
        run_study(STUDY, CELLS, Opener(), lambda cell: FitOptions(epochs=2), store, quiet)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("my life")
    with pytest.raises(ArtifactError, match="in use"):
        StudyStore.claim(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
