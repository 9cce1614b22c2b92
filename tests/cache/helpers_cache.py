"""Entries with contents that follow from the ids, so that every row can be checked alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.cache import Entry, RowType

ROW = RowType((3, 2), "float32")


def ids_of(count: int, seed: int = 0) -> NDArray[np.uint64]:
    """Distinct ids from all of the range of uint64."""
    drawn = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    assert len(np.unique(drawn)) == count
    return drawn


def values_of(ids: NDArray[np.uint64], row: RowType = ROW) -> Tensor:
    """What is stored for the ids: each row other numbers."""
    first = torch.from_numpy((ids % np.uint64(1000)).astype(np.float32))
    numbers = torch.arange(row.row_bytes // 4).float() + first[:, None]
    return numbers.reshape(len(ids), *row.shape)


def open_entry(folder: Path, row: RowType = ROW) -> Entry:
    return Entry(folder.name, folder, row, {"what": "test values"})


def filled(folder: Path, count: int = 40, chunk: int = 10) -> Entry:
    """An entry with the first `count` ids, in chunks."""
    entry = open_entry(folder)
    ids = ids_of(count)
    with entry.writing() as writer:
        for start in range(0, count, chunk):
            writer.append(ids[start : start + chunk], values_of(ids[start : start + chunk]))
    return entry


def holds_right_rows(entry: Entry, ids: NDArray[np.uint64]) -> bool:
    """Whether all ids are stored, with their values."""
    slots = entry.slots(ids)
    return bool((slots >= 0).all()) and torch.equal(entry.read(slots), values_of(ids))


def started(work: Callable[..., None], *arguments: object) -> BaseProcess:
    """Another process at work; forked, as it is here at once."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def images_of(count: int, size: int, seed: int = 0) -> Tensor:
    """Random pixels, uint8 [count, 3, size, size]."""
    drawn = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), generator=drawn, dtype=torch.uint8)
