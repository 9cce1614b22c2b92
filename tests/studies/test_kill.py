"""A study that is killed again and again ends in the same lines as one that was left alone."""

from __future__ import annotations

import json
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from convgraft.data import open_images, split_images
from convgraft.errors import RunError
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import Cell, Design, Predictions, Study, StudyArm, StudyStore, run_study
from convgraft.training import FitOptions, Task
from convgraft.training.stopping import Checkpoint
from helpers import Tiny
from helpers_killed import Command, Moment

NETWORK = "python:helpers:Tiny"
ARMS = ("cross-skip", "ladder-linear", "ladder-ridge", "ensemble")
VOTES = ("average-probe", "average-finetune")
SEEDS = 2
LINES = SEEDS * (len(ARMS) + 2 * 2 + len(VOTES))  # of two networks each its probe and fine-tune
KILLS = 10
SEED = 6
# what a clock or what lies in the store says, and a checksum over it
MEASURED = ("seconds", "frozen_images", "latency", "crc32")
LIMIT = 400  # seconds that one command may take on a busy machine
MOST = 0.4  # of what is left: a busy machine takes up to twice the processor time for the same


def command(place: Path) -> Command:
    """The study in `place/study`, with a store of its own that is empty in the beginning."""
    arguments = (
        *("study", "strategies", "digits", "--models", NETWORK, NETWORK, "--image-size", 16),
        *("--limits", 100, "--seeds", SEEDS, "--epochs", 14, "--only", *ARMS, *VOTES),
        *("--out", place / "study"),
    )
    place.mkdir(exist_ok=True)
    return Command(tuple(map(str, arguments)), place / "study", place / "store", place / "log.txt")


@dataclass(frozen=True)
class Whole:
    """A study that was left alone: its folder, seconds of processor time, changes of files."""

    folder: Path
    seconds: float
    changes: int


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    one = command(tmp_path_factory.mktemp("whole"))
    assert exit_code(one, Moment()) == 0, one.log.read_text()
    return Whole(one.folder, *one.took)


def exit_code(one: Command, moment: Moment) -> int | None:
    """Of a run that ends by itself, or by the signal of that moment."""
    process = one.start(moment)
    process.join(LIMIT)
    assert not process.is_alive(), one.log.read_text()
    return process.exitcode


def lines_in(folder: Path) -> list[dict[str, Any]]:
    """The whole lines; a last one that is being written is no line yet."""
    path = folder / "results.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def results(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By cell and arm, what came out, without what was measured by the clock."""
    return {
        (line["cell"], line["arm"]): {
            key: value for key, value in line.items() if not key.startswith(MEASURED)
        }
        for line in lines_in(folder)
    }


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def assert_same(one: Path, other: Path) -> None:
    """Lines as a set, and what every arm made of every test image; nothing is left over."""
    assert len(lines_in(one)) == LINES  # none twice, and none that says that an arm failed
    assert results(one) == results(other)
    assert files_in(one) == files_in(other)
    for path in sorted((other / "predictions").rglob("*.safetensors")):
        theirs = Predictions.load(path)
        ours = Predictions.load(one / path.relative_to(other))
        assert (ours.ids, ours.classes) == (theirs.ids, theirs.classes)
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(ours.probabilities, theirs.probabilities), path


def quiet(what: str, done: int, total: int) -> None:
    pass


def left(folder: Path) -> float:
    """The share of the study that has no line yet."""
    return 1 - len(lines_in(folder)) / LINES


@pytest.mark.slow
def test_a_study_that_is_killed_ten_times_ends_in_the_same_lines(
    whole: Whole, tmp_path: Path
) -> None:
    """Five times at any time, most of which goes to training and evaluation, and five times right
    before a file is changed.
    """
    one, rng = command(tmp_path), random.Random(SEED)
    fell: list[str] = []
    for number in range(KILLS):
        share = min(rng.uniform(0, 1.5) / (KILLS + 1 - number), MOST) * left(one.folder)
        at_a_change = Moment(change=1 + int(share * whole.changes))
        moment = at_a_change if number % 2 else Moment(share * whole.seconds)
        assert exit_code(one, moment) == -signal.SIGKILL, f"seed {SEED}, killed at {fell}"
        in_work = sorted(path.name for path in one.folder.glob("state/**/*") if path.is_file())
        fell.append(f"{len(lines_in(one.folder))} lines, in work: {', '.join(in_work)}")
    told = f"seed {SEED}, killed at:\n" + "\n".join(fell)
    print(told)
    assert exit_code(one, Moment()) == 0, f"{told}\n{one.log.read_text()}"
    assert sum(".ckpt" in place for place in fell) >= 3, told
    assert len(set(fell)) >= 5, told
    assert_same(one.folder, whole.folder)


@pytest.mark.slow
def test_a_study_that_is_stopped_by_ctrl_c_ends_in_the_same_lines(
    whole: Whole, tmp_path: Path
) -> None:
    """Once in work, and once while a file is written."""
    one, rng = command(tmp_path), random.Random(SEED)
    for at_a_change in (False, True):
        share = rng.uniform(0.1, MOST) * left(one.folder)
        moment = Moment(share * whole.seconds, signal=signal.SIGINT)
        if at_a_change:
            moment = Moment(change=1 + int(share * whole.changes), signal=signal.SIGINT)
        assert exit_code(one, moment) == 1, f"seed {SEED}: {one.log.read_text()}"
        assert "stopped" in one.log.read_text()
        assert "Traceback" not in one.log.read_text()
    assert exit_code(one, Moment()) == 0, one.log.read_text()
    assert_same(one.folder, whole.folder)


def test_killed_before_its_configuration_was_written_it_begins_anew(tmp_path: Path) -> None:
    (tmp_path / ".study.json.part").write_text('{"n')
    assert StudyStore.claim(tmp_path, {"n": 1}).lines == []
    assert files_in(tmp_path) == {"study.json", ".lock"}


def test_ctrl_c_between_the_last_batch_of_an_arm_and_its_test_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Checkpoint.on_train_epoch_end

    def stop_after_the_last_epoch(self: Checkpoint, *arguments: Any) -> None:
        ended(self, *arguments)
        signal.raise_signal(signal.SIGINT)

    cells = [Cell(20, 0)]
    given = Ingredients({"a": source(Tiny(classes=10))}, 8, 10)
    study = Study("one", "does it stop?", lambda _: [StudyArm(Design("probe"))], (), least=1)

    def run() -> list[dict[str, Any]]:
        store = StudyStore.claim(tmp_path / "study", {})
        images = open_images("digits")
        task = Task(images, split_images(images, seed=0, limit=20), 8)
        options = FitOptions(epochs=1, batch_size=10)
        return run_study(study, cells, lambda _: (task, given), lambda _: options, store, quiet)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_train_epoch_end", stop_after_the_last_epoch)
        with pytest.raises(RunError, match="stopped while training probe"):
            run()
    assert lines_in(tmp_path / "study") == []
    assert [line["arm"] for line in run()] == ["probe"]
