"""An entry: what is appended is read back, by any object, in any order, however it is stored."""

from __future__ import annotations

import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_cache import ROW, filled, holds_right_rows, ids_of, open_entry, values_of

from convgraft.cache import DTYPES, DamagedRows, RowType, row_file
from convgraft.cache.lookup import Lookup


def test_a_new_entry_is_empty_and_leaves_no_trace(place: Path) -> None:
    entry = open_entry(place)
    assert entry.rows == 0
    assert (entry.slots(ids_of(3)) == -1).all()
    assert entry.verify() == 0
    assert len(entry.read(np.empty(0, np.int64))) == 0
    assert not place.parent.exists()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_read_back_in_any_order(place: Path, dtype: str) -> None:
    row = RowType((3, 2), dtype)
    ids = ids_of(20)
    values = torch.randint(0, 256, (20, 3, 2), dtype=torch.uint8)
    values = values if dtype == "uint8" else values.float()
    with open_entry(place, row).writing() as writer:
        writer.append(ids[:7], values[:7])
        writer.append(ids[7:], values[7:])
    entry = open_entry(place, row)
    order = np.random.default_rng(0).permutation(20)[:15]
    expected = row.decode(row.encode(values[order]))
    assert entry.rows == 20
    assert torch.equal(entry.read(entry.slots(ids[order])), expected)


@pytest.mark.parametrize("mapped", [0, row_file.MAPPED_BYTES])
def test_small_and_large_files_read_the_same(
    place: Path, mapped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_file, "MAPPED_BYTES", mapped)
    monkeypatch.setattr(row_file, "BLOCK", 50)  # smaller than a chunk
    entry = filled(place)
    ids = ids_of(40)[::-1]
    assert entry.verify() == 0
    assert holds_right_rows(entry, ids)
    found = entry.read(entry.slots(ids))
    found.zero_()  # fresh memory: the store is as it was
    assert holds_right_rows(open_entry(place), ids)


def test_slots_are_those_of_a_dictionary() -> None:
    rng = np.random.default_rng(0)
    known = rng.permutation(1000).astype(np.uint64)
    lookup = Lookup.of(known[:300], np.arange(300)).with_more(known[300:500], np.arange(300, 500))
    naive = {int(identity): slot for slot, identity in enumerate(known[:500])}
    asked = rng.integers(0, 1000, 400).astype(np.uint64)
    assert lookup.find(asked).tolist() == [naive.get(int(one), -1) for one in asked]
    assert lookup.find(asked[:0]).tolist() == []


def test_slots_that_are_not_there_are_refused(place: Path) -> None:
    entry = filled(place)
    for slots in ([-1], [0, 40]):
        with pytest.raises(DamagedRows):
            entry.read(np.array(slots))


def test_an_image_is_not_appended_twice(place: Path) -> None:
    entry = filled(place)
    ids = ids_of(42)
    with entry.writing() as writer:
        with pytest.raises(ValueError, match="again"):
            writer.append(ids[39:41], values_of(ids[39:41]))
        with pytest.raises(ValueError, match="twice"):
            writer.append(ids[[40, 40]], values_of(ids[[40, 40]]))
        writer.append(ids[40:41], values_of(ids[40:41]))
        with pytest.raises(ValueError, match="again"):
            writer.append(ids[40:41], values_of(ids[40:41]))
    assert entry.rows == 41


def test_what_another_one_wrote_meanwhile_is_left_out(place: Path) -> None:
    late = open_entry(place)
    filled(place)
    ids = ids_of(50)
    with late.writing() as writer:
        assert (late.slots(ids) >= 0).sum() == 40
        writer.append(ids[30:], values_of(ids[30:]))
    assert late.rows == 50
    assert holds_right_rows(late, ids)


def test_a_reader_sees_more_rows_after_a_refresh_only(place: Path) -> None:
    reader = filled(place, 10)
    ids = ids_of(20)
    with open_entry(place).writing() as writer:
        writer.append(ids[10:], values_of(ids[10:]))
    assert reader.rows == 10
    reader.refresh()
    assert holds_right_rows(reader, ids)


def test_one_thread_writes_and_the_other_one_waits_once(place: Path) -> None:
    ids = ids_of(10)
    waits: list[int] = []
    waiting = threading.Event()

    def write() -> None:
        entry = open_entry(place)

        def on_wait() -> None:
            waits.append(entry.rows)
            waiting.set()

        with entry.writing(on_wait) as writer:
            assert entry.rows == 10
            writer.append(ids, values_of(ids))

    thread = threading.Thread(target=write)
    entry = open_entry(place)
    with entry.writing(lambda: waits.append(-1)) as writer:
        thread.start()
        assert waiting.wait(120)
        writer.append(ids, values_of(ids))
    thread.join(120)
    assert waits == [0]
    entry.refresh()
    assert entry.rows == 10


def test_another_row_type_under_the_same_key_is_written_anew(place: Path) -> None:
    filled(place)
    other = RowType((4,), "float32")
    entry = open_entry(place, other)
    assert entry.rows == 0
    with entry.writing() as writer:
        writer.append(ids_of(2), torch.ones(2, 4))
    assert open_entry(place, other).rows == 2
    assert open_entry(place, ROW).rows == 0


def test_a_reader_goes_on_where_the_entry_is_deleted_and_written_anew(place: Path) -> None:
    reader = filled(place)
    slots = reader.slots(ids_of(40))
    shutil.rmtree(place)
    other = ids_of(40, seed=1)
    with open_entry(place).writing() as writer:
        writer.append(other, values_of(other) + 5)
    assert torch.equal(reader.read(slots), values_of(ids_of(40)))
    reader.refresh()
    assert (reader.slots(ids_of(40)) == -1).all()


def test_an_entry_goes_to_another_process_without_its_rows(place: Path) -> None:
    entry = filled(place, 40)
    sent = pickle.dumps(entry)
    assert len(sent) < 1000
    assert holds_right_rows(pickle.loads(sent), ids_of(40))
