"""`convgraft doctor` says what is there, what is not, and what to do."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from helpers_cli import convgraft, write_pictures

from convgraft.cli import doctor_checks, doctor_packages
from convgraft.cli.doctor_checks import FAULT, FINE, NOTE


def test_this_machine_can_work() -> None:
    outcome = convgraft("doctor", "digits", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    by_name = {one["what"]: one for one in told["findings"]}
    assert told["faults"] == 0
    assert "1797 images of 10 classes" in by_name["data"]["found"]
    assert by_name["torchvision"]["state"] == FINE
    table = convgraft("doctor")
    assert "next: convgraft demo" in table.err
    assert "torch " in table.out


def test_what_is_wrong_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE_LIMIT", "much")
    outcome = convgraft("doctor", tmp_path / "nothing", "--weights", tmp_path)
    assert outcome.code == 1
    assert "does not exist" in outcome.out.replace("\n", " ")
    assert "CONVGRAFT_CACHE" in outcome.err
    assert "weights: a folder with NAME-imagenet.safetensors" in outcome.err


def test_packages_are_held_against_what_convgraft_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {"torch": "2.14.1", "pillow": "1.0", "timm": "1.0.31", "pyarrow": ""}
    asked = ["torch>=2.11", "pillow>=10.1", 'timm>=1.0; extra == "timm"',
             'pyarrow>=15; extra == "parquet"', 'pyarrow>=15; extra == "all"',
             'tomli; python_version < "3"']  # fmt: skip
    monkeypatch.setattr(doctor_packages, "_requires", lambda: asked)
    monkeypatch.setattr(doctor_packages, "installed", lambda name: installed.get(name, ""))
    assert list(doctor_packages.unfit_packages()) == [("pillow", "1.0", ">=10.1")]
    assert doctor_packages.missing_by_extra() == {"parquet": ["pyarrow>=15"]}
    found = {one.what: one for one in doctor_checks.packages()}
    assert (found["pillow"].state, found["pillow"].todo) == (FAULT, "pip install 'pillow>=10.1'")
    (extra,) = doctor_checks.extras()
    assert extra.state == NOTE
    assert "pip install 'convgraft[parquet]'" in extra.todo


def test_the_next_command_can_be_copied(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "my pictures", 1)
    told = convgraft("doctor", folder).err
    assert f"convgraft init '{folder}' looks closer" in told
    assert f"convgraft demo, or convgraft init '{folder}'" in told


def test_a_full_disk_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 10**9))
    assert [one.state for one in doctor_checks.disks()] == [NOTE, NOTE]


def test_weights_that_lie_there_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a-imagenet.safetensors").write_bytes(b"")
    (tmp_path / "readme.txt").write_bytes(b"")
    found = doctor_checks.weight_files(str(tmp_path))
    assert (found.state, f"1 in {tmp_path}" in found.found) == (FINE, True)
