"""A study's folder: one process at a time, lines that count once, files that are whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from convgraft.cli.run_folder import claim
from convgraft.compose import compose
from convgraft.durable import holding
from convgraft.durable.holding import hold
from convgraft.durable.lines import read_lines
from convgraft.errors import ArtifactError, ConvgraftError
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import (
    Design,
    Predictions,
    StudyStore,
    build_arm,
    failures,
    finished,
)
from convgraft.studies.growth import claim_growing
from convgraft.studies.search.store import SearchStore
from helpers import Tiny

HOLDING = """
import sys, time
from pathlib import Path
from convgraft.durable.holding import hold
held = hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""
LINE = {"cell": "20-0", "arm": "ladder", "limit": 20, "seed": 0, "epochs": 1}


@contextmanager
def held_by_another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder, until it is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "held\n"
            yield other
        finally:
            other.send_signal(signal.SIGKILL)


def test_another_process_is_refused_until_the_first_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StudyStore.claim(tmp_path / "s", {"arms": {}}).append(LINE)
    results = tmp_path / "s" / "results.jsonl"
    with held_by_another(tmp_path / "s") as other, results.open("a") as file:
        file.write('{"half')  # what the other one writes right now
        file.flush()
        monkeypatch.setattr(holding, "PATIENCE", 0)
        for take in (StudyStore.claim, claim_growing):
            with pytest.raises(ArtifactError, match="another process is at work") as told:
                take(tmp_path / "s", {"arms": {}})
            assert str(told.value.found).startswith(f"process {other.pid}, for ")
        assert read_lines(results) == [LINE]
        assert results.read_text().endswith('{"half')
    assert StudyStore.claim(tmp_path / "s", {"arms": {}}).lines == [LINE]


def test_searches_and_runs_are_held_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"n": 1}
    SearchStore.claim(tmp_path / "search", config)
    claim(tmp_path / "run", config)
    monkeypatch.setattr(holding, "PATIENCE", 0)
    with held_by_another(tmp_path / "search"), held_by_another(tmp_path / "run" / "state"):
        with pytest.raises(ArtifactError, match="another process"):
            SearchStore.claim(tmp_path / "search", config)
        for overwrite in (False, True):
            with pytest.raises(ArtifactError, match="another process"):
                claim(tmp_path / "run", config, overwrite=overwrite)
        assert (tmp_path / "run" / "state" / "config.json").is_file()
    assert claim(tmp_path / "run", config).resumed


def test_the_same_process_may_take_a_folder_again_and_lets_go_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "PATIENCE", 0)
    one, other = hold(tmp_path), hold(tmp_path)
    assert one is other
    del one, other
    with held_by_another(tmp_path), pytest.raises(ArtifactError):
        hold(tmp_path)


def test_a_folder_of_something_else_is_not_even_locked(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("my life")
    for take in (StudyStore.claim, SearchStore.claim, claim):
        with pytest.raises(ArtifactError, match="in use"):
            take(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_line_that_is_there_twice_counts_once() -> None:
    lines: list[dict[str, Any]] = [
        {**LINE, "val": 0.5},
        {**LINE, "failed": "no"},
        {**LINE, "val": 0.5, "seconds": 9},
        {**LINE, "cell": "20-1", "seed": 1},
    ]
    assert finished(lines) == [lines[0], lines[3]]
    assert failures(lines) == []


def test_an_option_that_was_not_known_yet_is_one_that_was_not_said(tmp_path: Path) -> None:
    old = {"arms": {}, "options": {"lr": None, "epochs": 2}}
    for place, take in (("a", StudyStore.claim), ("b", claim_growing), ("c", SearchStore.claim)):
        take(tmp_path / place, old)
        take(tmp_path / place, {"arms": {}, "options": {"epochs": 2, "budget_seconds": None}})
        with pytest.raises(ConvgraftError, match="another") as told:
            take(tmp_path / place, {"arms": {}, "options": {"epochs": 2, "budget_seconds": 9}})
        assert told.value.found == "other values of options"


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("")
    with pytest.raises(ArtifactError, match=r"study\.json"):
        StudyStore.claim(tmp_path, {})


def test_predictions_that_cannot_be_read_are_none_and_are_told(tmp_path: Path) -> None:
    store = StudyStore.claim(tmp_path / "s", {})
    path = store.predictions_path("20-0", "ladder")
    path.parent.mkdir(parents=True)
    path.touch()
    assert store.predictions("20-0", "ladder") is None
    assert store.predictions("20-0", "probe-a") is None
    assert store.unread == {("20-0", "ladder")}


def test_predictions_and_weights_are_on_the_disk_before_they_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: dict[int, int] = {}

    def note(number: int) -> None:
        found = os.fstat(number)
        synced[found.st_ino] = found.st_size

    monkeypatch.setattr("convgraft.durable.lines.os.fsync", note)
    store = StudyStore.claim(tmp_path / "s", {})
    path = store.predictions_path("20-0", "own-a")
    Predictions(("a",), torch.tensor([1]), torch.tensor([[0.0, 1.0]]), ("x", "y")).save(path)
    arm = build_arm(Design("probe"), Ingredients({"a": source(Tiny(classes=10))}, 8, 10))
    store.keep("20-0", "probe-a", compose(arm.plan, arm.sources))
    kept = tmp_path / "s" / "state" / "20-0" / "probe-a.safetensors"
    for file in (tmp_path / "s" / "study.json", path, kept):
        assert synced[file.stat().st_ino] == file.stat().st_size > 0


def test_of_a_line_that_cannot_be_written_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise OSError(28, "No space left on device")

    store = StudyStore.claim(tmp_path / "s", {})
    store.append(LINE)
    with monkeypatch.context() as full:
        full.setattr("convgraft.durable.lines.os.fsync", fail)
        with pytest.raises(OSError, match="No space"):
            store.append({**LINE, "arm": "other"})
    store.append({**LINE, "arm": "third"})
    text = (tmp_path / "s" / "results.jsonl").read_text()
    told = [json.loads(line) for line in text.splitlines()]
    assert [line["arm"] for line in told] == ["ladder", "third"] == [x["arm"] for x in store.lines]
