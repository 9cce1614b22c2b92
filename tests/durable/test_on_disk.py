"""What has its name is on the disk, and so is the name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convgraft.durable.on_disk import copy_folder, make_folder, put_in_place


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is synced, and of what is renamed, in their order."""
    made: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        made.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        sync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        made.append(f"rename {self.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    return made


linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="files are named by /proc")


@linux
def test_contents_come_first_then_the_name_then_the_folder(
    tmp_path: Path, calls: list[str]
) -> None:
    (tmp_path / "x.part").write_text("all")
    put_in_place(tmp_path / "x.part", tmp_path / "x")
    assert (tmp_path / "x").read_text() == "all"
    assert calls == ["sync x.part", "rename x.part", f"sync {tmp_path.name}"]


@linux
def test_new_folders_are_on_the_disk_and_old_ones_are_left_alone(
    tmp_path: Path, calls: list[str]
) -> None:
    make_folder(tmp_path / "a" / "b")
    assert calls == [f"sync {tmp_path.name}", "sync a"]
    make_folder(tmp_path / "a" / "b")
    assert len(calls) == 2


@linux
def test_a_folder_is_copied_whole(tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "x").write_text("all")
    (tmp_path / ".to.part").mkdir()
    (tmp_path / ".to.part" / "half").write_text("of one that was killed")
    copy_folder(tmp_path / "from", tmp_path / "to")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["x"]
    assert calls.index("sync x") < calls.index("rename .to.part") < len(calls) - 1
