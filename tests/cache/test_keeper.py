"""What is gathered is committed once, when there is enough of it, or when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from convgraft.cache import keeper
from convgraft.cache.entry import Entry
from convgraft.cache.keeper import Keeper
from convgraft.cache.precision import RowType

IDS = np.arange(9, dtype=np.uint64)
VALUES = torch.arange(27.0).reshape(9, 3)


def entry(folder: Path, name: str) -> Entry:
    return Entry(name, folder / name, RowType((3,), "float32"), {})


def test_rows_wait_until_there_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "COMMIT_BYTES", 2 * 5 * 12)  # of two entries, five rows each
    one, other = entry(tmp_path, "one"), entry(tmp_path, "other")
    keep = Keeper([(one, None), (other, None)])
    keep.add(IDS[:4], [VALUES[:4], -VALUES[:4]])
    assert entry(tmp_path, "one").rows == 0
    keep.add(IDS[4:8], [VALUES[4:8], -VALUES[4:8]])
    assert entry(tmp_path, "one").rows == entry(tmp_path, "other").rows == 8
    keep.add(IDS[8:], [VALUES[8:], -VALUES[8:]])
    assert entry(tmp_path, "one").rows == 8
    keep.flush()
    keep.flush()  # nothing is left
    for name, sign in (("one", 1), ("other", -1)):
        kept = entry(tmp_path, name)
        assert torch.equal(kept.read(kept.slots(IDS)), sign * VALUES)


def test_what_another_one_stored_meanwhile_is_left_out(tmp_path: Path) -> None:
    mine = entry(tmp_path, "one")
    with entry(tmp_path, "one").writing() as writer:
        writer.append(IDS[:4], VALUES[:4])
    keep = Keeper([(mine, None)])
    keep.add(IDS, [VALUES])
    keep.flush()
    kept = entry(tmp_path, "one")
    assert kept.rows == 9
    assert torch.equal(kept.read(kept.slots(IDS)), VALUES)


def test_ctrl_c_in_the_middle_of_a_batch_keeps_those_before_it(tmp_path: Path) -> None:
    def stopped() -> Iterator[torch.Tensor]:
        yield VALUES[4:]
        raise KeyboardInterrupt

    keep = Keeper([(entry(tmp_path, name), None) for name in ("one", "other")])
    keep.add(IDS[:4], [VALUES[:4], -VALUES[:4]])
    with pytest.raises(KeyboardInterrupt):
        keep.add(IDS[4:], stopped())
    keep.flush()
    for name, sign in (("one", 1), ("other", -1)):
        kept = entry(tmp_path, name)
        assert kept.rows == 4
        assert torch.equal(kept.read(kept.slots(IDS[:4])), sign * VALUES[:4])


def test_after_some_time_few_rows_are_committed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "COMMIT_SECONDS", 0.0)
    keep = Keeper([(entry(tmp_path, "one"), None)])
    keep.add(IDS[:1], [VALUES[:1]])
    assert entry(tmp_path, "one").rows == 1


def commits_of(folder: Path, rows: int) -> list[int]:
    """The rows of an entry after each commit, where rows come one by one."""
    found = [0]
    keep = Keeper([(entry(folder, "one"), None)])
    for number in range(rows):
        keep.add(np.array([number], np.uint64), [torch.zeros(1, 3)])
        if (now := entry(folder, "one").rows) > found[-1]:
            found.append(now)
    return found[1:]


def test_the_index_of_a_large_entry_is_not_written_for_every_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "COMMIT_BYTES", 1)
    commits = commits_of(tmp_path, 64)
    monkeypatch.setattr(keeper, "INDEX_BYTES", 0)
    assert commits_of(tmp_path / "always", 64) == list(range(1, 65))
    steps = np.diff([0, *commits])
    # rows of 12 bytes, and 8 bytes for each in the index: never more of these in all
    assert all(12 * new > 8 * before for before, new in zip([0, *commits], steps, strict=False))
    assert sum(commits) * 8 <= 12 * 64 + 8 * 64 and len(commits) < 12


def test_a_large_entry_waits_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(keeper, "INDEX_RATE", 1e-3)
    assert commits_of(tmp_path, 9) == [1]
