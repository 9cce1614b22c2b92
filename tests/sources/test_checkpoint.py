"""Checkpoints whose tensors are not what they seem."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from convgraft.errors import SourceError
from convgraft.sources import source
from convgraft.sources.checkpoint import read_checkpoint


def test_plain_tensors_come_as_they_are(tmp_path: Path) -> None:
    part = torch.arange(12.0).view(3, 4)[:, 1:3]
    torch.save({"w": part, "n": torch.tensor(3)}, tmp_path / "w.pth")
    found = read_checkpoint(tmp_path / "w.pth")
    assert torch.equal(found["w"], part) and found["n"].item() == 3


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**12),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, dtype=torch.complex64),
        torch.empty(2, device="meta"),
    ],
    ids=["one number as many", "sparse", "complex", "no data"],
)
@pytest.mark.filterwarnings("ignore")
def test_others_are_named(tmp_path: Path, tensor: Tensor) -> None:
    torch.save({"conv1.weight": tensor}, tmp_path / "w.pth")
    with pytest.raises(SourceError, match=r"w\.pth.*conv1\.weight"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("state", [{1: torch.zeros(1)}, [torch.zeros(1)], {"a": 3}])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(SourceError, match=r"w\.pth.*no state dict"):
        read_checkpoint(tmp_path / "w.pth")


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(10**5)}, buffer)
    packed = zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(buffer) as plain, packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(SourceError, match=r"torch\.save"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: str) -> None:
    weight = torch.zeros(3, 1, 3, 3)
    weight[1, 0, 2, 2] = float(value)
    torch.save({"filter.weight": weight}, tmp_path / "w.pth")
    with pytest.raises(SourceError, match="not finite"):
        source(f"filters/box@{tmp_path / 'w.pth'}")
