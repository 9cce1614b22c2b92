"""Damage is found, told and mended: flipped bits, files cut short, indexes of any kind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from helpers_cache import ROW, filled, holds_right_rows, ids_of, open_entry, values_of

from convgraft.cache import DamagedRows, Entry
from convgraft.cache.index import INDEX
from convgraft.cache.row_file import ROWS

IDS = ids_of(40)  # four chunks of ten


def _flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 16]))


def _mend(entry: Entry) -> None:
    missing = IDS[entry.slots(IDS) < 0]
    with entry.writing() as writer:
        writer.append(missing, values_of(missing))


def test_a_flipped_bit_is_found_told_and_mended(place: Path) -> None:
    filled(place)
    _flip(place / ROWS, 15 * ROW.row_bytes + 3)
    entry = open_entry(place)
    slots = entry.slots(IDS)
    assert entry.read(slots[:10]).shape == (10, 3, 2)  # another chunk
    with pytest.raises(DamagedRows) as told:
        entry.read(slots[[5, 12, 35]])
    assert told.value.slots.tolist() == [12]
    assert entry.verify(slots) == 10
    assert np.flatnonzero(entry.slots(IDS) < 0).tolist() == list(range(10, 20))
    assert holds_right_rows(entry, IDS[20:])
    assert open_entry(place).rows == 30
    _mend(entry)
    assert holds_right_rows(open_entry(place), IDS)
    assert open_entry(place).verify() == 0


def test_only_the_chunks_asked_for_are_checked(place: Path) -> None:
    filled(place)
    _flip(place / ROWS, 0)
    entry = open_entry(place)
    assert entry.verify(entry.slots(IDS[10:])) == 0
    assert entry.rows == 40
    assert entry.verify() == 10


@pytest.mark.parametrize("opened", ["before", "after"])
@pytest.mark.parametrize("rows", [35, 30.5, 0])
def test_a_file_cut_short_loses_the_chunks_beyond(place: Path, rows: float, opened: str) -> None:
    filled(place)
    opened_before = open_entry(place)
    os.truncate(place / ROWS, int(rows * ROW.row_bytes))
    entry = opened_before if opened == "before" else open_entry(place)
    whole = int(rows) // 10 * 10
    assert entry.verify() == 40 - whole
    assert holds_right_rows(entry, IDS[:whole])
    assert open_entry(place).rows == whole
    _mend(entry)
    assert holds_right_rows(entry, IDS)
    assert holds_right_rows(open_entry(place), IDS)


def test_a_hole_is_found(place: Path) -> None:
    filled(place)
    with (place / ROWS).open("r+b") as file:
        file.seek(10 * ROW.row_bytes)
        file.write(bytes(10 * ROW.row_bytes))
    assert open_entry(place).verify() == 10


def test_a_slot_never_gets_another_image(place: Path) -> None:
    filled(place)
    reader = open_entry(place)
    last = reader.slots(IDS[30:])
    _flip(place / ROWS, 39 * ROW.row_bytes)
    entry = open_entry(place)
    assert entry.verify() == 10
    _mend(entry)
    assert not set(entry.slots(IDS[30:]).tolist()) & set(last.tolist())
    assert holds_right_rows(reader, IDS[:30])


def test_what_the_index_does_not_know_is_written_over(place: Path) -> None:
    filled(place)
    with (place / ROWS).open("ab") as file:
        file.write(b"half a chunk of a writer that is gone" * 100)
    entry = open_entry(place)
    assert entry.rows == 40
    more = ids_of(45)[40:]
    with entry.writing() as writer:
        writer.append(more, values_of(more))
    assert (place / ROWS).stat().st_size == 45 * ROW.row_bytes
    assert holds_right_rows(open_entry(place), ids_of(45))


def test_every_flipped_byte_of_an_index_is_found(place: Path) -> None:
    filled(place)
    whole = (place / INDEX).read_bytes()
    for where in range(0, len(whole), 7):
        _flip(place / INDEX, where)
        entry = open_entry(place)
        assert entry.rows == 0 or holds_right_rows(entry, IDS)
        (place / INDEX).write_bytes(whole)
    assert holds_right_rows(open_entry(place), IDS)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04K\x01.", b"x" * 1000, None])
def test_a_foreign_index_is_an_empty_entry(place: Path, content: bytes | None) -> None:
    reader = filled(place)
    (place / INDEX).unlink()
    if content is not None:
        (place / INDEX).write_bytes(content)
    entry = open_entry(place)
    assert entry.rows == 0
    with entry.writing() as writer:
        writer.append(IDS[::-1], values_of(IDS[::-1]))
    assert holds_right_rows(open_entry(place), IDS)
    assert holds_right_rows(reader, IDS)  # which has the old file


def test_an_index_without_rows_is_an_empty_entry(place: Path) -> None:
    filled(place)
    (place / ROWS).unlink()
    entry = open_entry(place)
    assert entry.rows == 0
    _mend(entry)
    assert holds_right_rows(open_entry(place), IDS)


def test_another_object_has_mended_it_already(place: Path) -> None:
    filled(place)
    first, second = open_entry(place), open_entry(place)
    _flip(place / ROWS, 0)
    assert first.verify() == 10
    _mend(first)
    assert second.verify() == 0
    assert holds_right_rows(second, IDS)
