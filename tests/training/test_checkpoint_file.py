"""A damaged checkpoint is refused, by name; PyTorch alone would read it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from convgraft.errors import ArtifactError
from convgraft.training.checkpoint_file import check_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save({"state_dict": {"a": torch.arange(1000.0)}}, tmp_path / "arm.ckpt")
    return tmp_path / "arm.ckpt"


def test_a_whole_one_is_fine(path: Path) -> None:
    check_checkpoint(path)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_flipped_bit_is_told(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    torch.load(path, weights_only=True)  # which sees nothing
    with pytest.raises(ArtifactError, match=r"arm\.ckpt.* is damaged") as told:
        check_checkpoint(path)
    assert "begins this training anew" in str(told.value)


@pytest.mark.parametrize("length", [0, 10, -5])
def test_one_that_was_cut_short_is_told(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ArtifactError, match=r"arm\.ckpt"):
        check_checkpoint(path)
