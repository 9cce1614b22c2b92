"""Which images lack what: against a loop that asks each image by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from convgraft.cache.entry import Entry
from convgraft.cache.lacking import alike, lacking_rows
from convgraft.cache.precision import RowType


@pytest.mark.parametrize("seed", range(5))
def test_every_image_goes_once_with_all_that_it_lacks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lacks = rng.random((4, 30)) < 0.4
    groups = alike("wxyz", [np.flatnonzero(row) for row in lacks], 30)
    found = {image: values for values, rows in groups for image in rows.tolist()}
    assert sum(len(rows) for _, rows in groups) == len(found)  # none goes twice
    for image in range(30):
        wanted = [value for value, row in zip("wxyz", lacks, strict=True) if row[image]]
        assert found.get(image, []) == wanted


def test_nothing_is_lacking() -> None:
    assert alike("ab", [np.empty(0, np.int64)] * 2, 7) == []


def test_rows_that_are_not_stored_damaged_or_broken(tmp_path: Path) -> None:
    entry = Entry("k", tmp_path / "k", RowType((2,), "float32"), {})
    ids = np.arange(10, dtype=np.uint64)
    names = [f"{number}.png" for number in range(10)]
    assert lacking_rows(entry, ids, names, ()).tolist() == list(range(10))
    with entry.writing() as writer:
        writer.append(ids[2:4], torch.zeros(2, 2))
        writer.append(ids[6:9], torch.ones(3, 2))
    assert lacking_rows(entry, ids, names, ()).tolist() == [0, 1, 4, 5, 9]
    assert lacking_rows(entry, ids, names, {"4.png", "7.png"}).tolist() == [0, 1, 5, 9]
    rows = tmp_path / "k" / "rows.bin"
    rows.write_bytes(rows.read_bytes()[:16] + bytes(24))  # the second chunk is spoilt
    again = Entry("k", tmp_path / "k", RowType((2,), "float32"), {})
    assert lacking_rows(again, ids, names, ()).tolist() == [0, 1, 4, 5, 6, 7, 8, 9]
