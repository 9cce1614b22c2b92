"""A file of a run that is another one than was written is no other network."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from convgraft.compose import compose
from convgraft.errors import ArtifactError
from convgraft.export import load, save
from convgraft.export.artifact import change_notes
from convgraft.export.checksums import CHECKSUMS
from helpers import head, plan_for, small


@pytest.fixture
def run(tmp_path: Path) -> Path:
    sources = {"a": small()}
    plan = plan_for(sources, heads=[head("label", "linear", "a:features", classes=3)])
    named = compose(plan, sources)
    return save(tmp_path / "run", named, labels=("x", "y", "z"), metrics={"top1": 0.5})


def opened(run: Path) -> object:
    return load(run, modules={"a": small().module})


def test_a_run_as_it_was_is_loaded(run: Path) -> None:
    assert {line.split("  ")[1] for line in (run / CHECKSUMS).read_text().splitlines()} == {
        *("model.safetensors", "plan.yaml", "labels.json", "metrics.json")
    }
    opened(run)
    if shutil.which("sha256sum"):
        assert subprocess.run(["sha256sum", "-c", CHECKSUMS], cwd=run).returncode == 0


def test_a_flipped_bit_in_a_weight_is_told(run: Path) -> None:
    path = run / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"model\.safetensors.* is not what was written"):
        opened(run)


def test_so_is_another_label(run: Path) -> None:
    (run / "labels.json").write_text(json.dumps({"classes": ["x", "y", "w"]}))
    with pytest.raises(ArtifactError, match=r"labels\.json"):
        opened(run)
    (run / CHECKSUMS).unlink()  # as the hint says, where one changed it oneself
    opened(run)


@pytest.mark.parametrize("text", ["abc", "0" * 64, "0" * 64 + "  ../x", "\xff"])
def test_a_list_that_is_damaged_is_told(run: Path, text: str) -> None:
    (run / CHECKSUMS).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=CHECKSUMS):
        opened(run)


def test_other_notes_have_their_checksums(run: Path) -> None:
    change_notes(run, {"top1": 0.6}, "# other")
    opened(run)
    assert json.loads((run / "metrics.json").read_text()) == {"top1": 0.6}
