"""Not one byte of a sealed file can change unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from convgraft.durable.sealed_tensors import DamagedTensors, load_sealed, save_sealed

TENSORS = {
    "a": torch.arange(6.0).view(2, 3),
    "b": torch.tensor([True, False]),
    "n": torch.tensor(7),
}
NOTES = {"ids": '["x"]'}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
        for name, tensor in TENSORS.items()
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    save_sealed(tmp_path / "x", TENSORS, NOTES)
    tensors, notes = load_sealed(tmp_path / "x")
    assert same(tensors) and notes == NOTES
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_every_flipped_byte_is_noticed_or_makes_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_sealed(path, TENSORS, NOTES)
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            tensors, notes = load_sealed(path)
        except DamagedTensors:
            refused += 1
            continue
        assert same(tensors) and notes["ids"] == NOTES["ids"], place
    assert refused > len(whole) / 2


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    save_sealed(tmp_path / "x", TENSORS, NOTES)
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes()[:length])
    with pytest.raises(DamagedTensors):
        load_sealed(tmp_path / "x")


def test_a_file_without_a_checksum_is_taken_as_it_is(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x", NOTES)
    assert same(load_sealed(tmp_path / "x")[0])
