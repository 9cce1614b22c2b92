"""What a full disk says reaches the caller as an OSError."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from convgraft.durable.sealed_tensors import save_sealed
from convgraft.durable.tensors import write_tensors


@contextmanager
def short_files(length: int) -> Iterator[None]:
    """No file of this process may grow beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", {"a": torch.arange(3.0)}, {"what": "numbers"})
    assert load_file(tmp_path / "x")["a"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("save", [write_tensors, save_sealed])
def test_no_room_is_an_error_of_the_system(save: object, tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, short_files(4000):
        save(tmp_path / "x", {"a": torch.zeros(10_000)}, {})  # type: ignore[operator]
    assert caught.value.errno == errno.EFBIG
    assert "x" in str(caught.value.filename)


def test_what_is_no_matter_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_tensors(tmp_path / "none" / "x", {"a": torch.zeros(2)}, {})


def test_what_a_kill_left_is_gone_after_the_next_writing(tmp_path: Path) -> None:
    left = tmp_path / "x.new"
    left.mkdir()
    (left / ".tmp1fsxiw").write_bytes(b"half")
    write_tensors(tmp_path / "x", {"a": torch.zeros(2)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    with pytest.raises(OSError), short_files(4000):
        write_tensors(tmp_path / "y", {"a": torch.zeros(10_000)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
