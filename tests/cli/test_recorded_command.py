"""Folders say which commands made them, as they were typed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from helpers_cli import convgraft

from convgraft.cli.leak_file import read_leaks, write_leaks
from convgraft.cli.recorded_command import record_command, recorded_calls, typed
from convgraft.cli.run_folder import claim
from convgraft.data import Leak
from convgraft.errors import ArtifactError


def record(folder: Path, *arguments: str) -> None:
    with typed(arguments):
        record_command(folder)


def test_every_call_is_added_as_it_was_typed(tmp_path: Path) -> None:
    record(tmp_path, "fit", "my pictures", "--models", "a", "b")
    record(tmp_path, "fit", "my pictures", "--models", "a", "b", "--workers", "2")
    first, last = recorded_calls(tmp_path)
    assert first["command"] == "convgraft fit 'my pictures' --models a b"
    assert shlex.split(last["command"])[-2:] == ["--workers", "2"]
    assert last["versions"]["torch"] == torch.__version__
    assert set(last["versions"]) == {"convgraft", "torch", "lightning", "Python"}
    assert str(Path.cwd()) not in (tmp_path / "command.json").read_text()


def test_what_no_command_line_made_has_no_command(tmp_path: Path) -> None:
    record_command(tmp_path)
    assert recorded_calls(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["[{", '{"command": "x"}', "[1]"])
def test_a_file_that_cannot_be_read_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "command.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"command\.json"):
        recorded_calls(tmp_path)


def test_a_run_that_goes_on_remembers_the_first_call_and_one_begun_anew_forgets_it(
    tmp_path: Path,
) -> None:
    def begin(config: dict[str, int], *, overwrite: bool = False) -> list[str]:
        with typed(("fit", *map(str, config.values()))):
            claim(tmp_path / "r", config, overwrite=overwrite)
        return [call["command"] for call in recorded_calls(tmp_path / "r")]

    assert begin({"n": 1}) == ["convgraft fit 1"]
    assert begin({"n": 1}) == ["convgraft fit 1"] * 2
    assert begin({"n": 2}) == ["convgraft fit 2"]  # nothing came of the first
    assert begin({"n": 3}, overwrite=True) == ["convgraft fit 3"]


def test_a_run_says_which_command_made_it_and_so_does_its_report(run: Path, tmp_path: Path) -> None:
    (call,) = json.loads((run / "command.json").read_text())
    words = shlex.split(call["command"])
    assert words[:3] == ["convgraft", "fit", words[2]]
    assert words[3:6] == ["--models", "cifar_resnet20", "cifar_resnet20"]  # not one option each
    assert words[-3:] == ["--out", str(run), "--json"]
    assert convgraft("report", run, "--out", tmp_path / "r.md").code == 0
    told = (tmp_path / "r.md").read_text()
    assert f"```text\n{call['command']}\n```" in told
    assert "as it was recorded" in told and "Not recorded" not in told


def test_a_studys_commands_and_leaks_lie_beside_its_configuration(tmp_path: Path) -> None:
    network = "python:helpers:Tiny"
    command = (
        *("study", "ladder", "digits", "--models", network, network, "--image-size", 8),
        *("--limits", 20, "--epochs", 2, "--only", "probe-a", "--out", tmp_path / "s"),
    )
    for more in ((), ("--workers", 0)):
        outcome = convgraft(*command, *more)
        assert outcome.code == 0, outcome.err
    first, last = (shlex.split(call["command"]) for call in recorded_calls(tmp_path / "s"))
    assert last == [*first, "--workers", "0"]
    leak = Leak("ab" * 32, (("train", "1.png"), ("test", "2.png")))
    write_leaks(tmp_path / "s", {"20-0": [leak]})
    write_leaks(tmp_path / "s", {"20-1": [leak]})
    write_leaks(tmp_path / "s", {})
    assert list(read_leaks(tmp_path / "s")) == ["20-0", "20-1"]
    assert convgraft("report", tmp_path / "s", "--out", tmp_path / "s.html").code == 0
    text = (tmp_path / "s.html").read_text()
    assert "2 different commands made it" in text
    assert "ab" * 32 in text
    assert "Validation top-1 over epochs, 20 training images" in text


def test_a_fit_logs_where_it_is_asked_to(pictures: Path, tmp_path: Path) -> None:
    common = (
        *("fit", pictures, "--models", "python:helpers:Tiny", "--strategy", "probe"),
        *("--image-size", 8, "--epochs", 2, "--batch-size", 8),
    )
    outcome = convgraft(*common, "--logger", "csv", "--out", tmp_path / "r", "--overwrite")
    assert outcome.code == 0, outcome.err
    told = (tmp_path / "r" / "logs" / "probe" / "metrics.csv").read_text()
    assert "train/epoch_loss" in told.splitlines()[0]
    assert convgraft(*common, "--out", tmp_path / "r", "--overwrite").code == 0
    assert not (tmp_path / "r" / "logs").exists()
    wrong = convgraft(*common, "--logger", "csv", "cvs", "--out", tmp_path / "w")
    assert wrong.code == 2 and "did you mean csv" in wrong.err
    assert not (tmp_path / "w").exists()
