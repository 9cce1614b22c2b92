"""A cache: its entries, its bound, and what goes first."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from helpers_cache import ids_of, started

from convgraft.cache import Cache, RowType, folder
from convgraft.cache.index import INDEX
from convgraft.cache.listing import REMOVED
from convgraft.cache.row_file import ROWS

ROW = RowType((250,), "float32")


def _cache(tmp_path: Path, limit: int = 2**20) -> Cache:
    return Cache(tmp_path / "cache", limit)


def _fill(cache: Cache, key: str, rows: int = 10, used: float | None = None) -> None:
    with cache.entry(key, ROW, {"what": f"values {key}"}).writing() as writer:
        writer.append(ids_of(rows), torch.ones(rows, 250))
    if used is not None:
        os.utime(cache.folder / key / "used", (used, used))


def _keys(cache: Cache) -> list[str]:
    return [info.key for info in cache.entries()]


def test_a_cache_makes_no_folder_before_it_is_written_to(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    assert cache.entries() == ()
    assert cache.size() == 0
    assert cache.clear() == 0
    assert cache.make_room(1000)
    assert cache.entry("a", ROW, {}).rows == 0
    assert not cache.folder.exists()


def test_entries_are_told_the_last_used_first(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    _fill(cache, "a", used=1000)
    _fill(cache, "b", used=3000)
    _fill(cache, "c", used=2000)
    assert _keys(cache) == ["b", "c", "a"]
    info = cache.entries()[0]
    assert (info.facts, info.dtype, info.shape) == ({"what": "values b"}, "float32", (250,))
    assert (info.rows, info.used) == (10, 3000)
    assert info.bytes == sum(file.stat().st_size for file in (cache.folder / "b").iterdir())
    assert info.bytes >= 10 * ROW.row_bytes
    assert cache.size() == sum(info.bytes for info in cache.entries())
    cache.entry("a", ROW, {})  # used now
    assert _keys(cache) == ["a", "b", "c"]


def test_foreign_files_are_passed_over_and_stay(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    _fill(cache, "a")
    (cache.folder / "notes.txt").write_text("mine")
    (cache.folder / "photos").mkdir()
    (cache.folder / "photos" / "one.png").write_text("mine")
    (cache.folder / "mixed").mkdir()
    (cache.folder / "mixed" / ROWS).write_text("rows of somebody else")
    (cache.folder / "mixed" / "one.png").write_text("mine")
    assert _keys(cache) == ["a"]
    cache.clear()
    assert _keys(cache) == []
    assert (cache.folder / "notes.txt").exists()
    assert (cache.folder / "photos" / "one.png").exists()
    assert (cache.folder / "mixed" / ROWS).exists()


def test_half_entries_are_told_and_can_be_cleared(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    _fill(cache, "a")
    _fill(cache, "b")
    (cache.folder / "a" / INDEX).write_text("damaged")
    (cache.folder / "b" / ROWS).unlink()
    assert {info.key: (info.dtype, info.rows) for info in cache.entries()} == {
        "a": ("", 0),
        "b": ("", 0),
    }
    assert cache.clear() > 10 * ROW.row_bytes
    assert not (cache.folder / "a").exists()


def test_room_is_made_by_the_least_recently_used(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    for number, key in enumerate("abcd"):
        _fill(cache, key, used=1000 + number)
    each = cache.entries()[0].bytes
    bounded = Cache(cache.folder, 5 * each + 500)  # indexes differ by some bytes
    assert bounded.make_room(each)
    assert len(_keys(cache)) == 4
    assert bounded.make_room(2 * each, keep=["a"])
    assert sorted(_keys(cache)) == ["a", "c", "d"]
    assert bounded.size() + 2 * each <= bounded.limit


def test_where_room_cannot_be_had_nothing_is_evicted(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    for key in "ab":
        _fill(cache, key)
    each = cache.size() // 2
    bounded = Cache(cache.folder, cache.size())
    assert not bounded.make_room(2 * each - 500, keep=["b"])
    assert not bounded.make_room(3 * each)
    assert sorted(_keys(cache)) == ["a", "b"]


def test_a_disk_without_room_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = _cache(tmp_path)
    _fill(cache, "a")
    usage = shutil.disk_usage(tmp_path)._replace(free=500)
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda _: usage)
    assert cache.make_room(400)
    assert _keys(cache) == ["a"]
    assert not cache.make_room(600, keep=["a"])
    assert cache.make_room(600)
    assert _keys(cache) == []


def _evict_all(cache: Cache) -> None:
    assert not cache.make_room(cache.limit)
    assert cache.clear() == 0


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    _fill(cache, "a")
    with cache.entry("a", ROW, {}).writing() as writer:
        process = started(_evict_all, cache)
        process.join(300)
        _evict_all(cache)
        writer.append(ids_of(5, seed=1), torch.ones(5, 250))
    assert process.exitcode == 0
    assert cache.entry("a", ROW, {}).rows == 15


def test_an_evicted_entry_stays_readable_for_who_has_it_open(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    _fill(cache, "a")
    reader = cache.entry("a", ROW, {})
    slots = reader.slots(ids_of(10))
    assert cache.clear(["a"]) > 0
    assert not (cache.folder / "a").exists()
    assert torch.equal(reader.read(slots), torch.ones(10, 250))
    assert cache.entry("a", ROW, {}).rows == 0
    _fill(cache, "a", rows=3)
    assert cache.entry("a", ROW, {}).rows == 3


def test_keys_choose_what_is_cleared(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    for key in "abc":
        _fill(cache, key)
    sizes = {info.key: info.bytes for info in cache.entries()}
    assert cache.clear(["a", "c", "none"]) == sizes["a"] + sizes["c"]
    assert _keys(cache) == ["b"]


def test_what_a_killed_removal_left_is_swept(tmp_path: Path) -> None:
    cache = _cache(tmp_path)
    _fill(cache, "a")
    (cache.folder / "a").rename(cache.folder / f"{REMOVED}1")
    assert _keys(cache) == []
    cache.make_room(1)
    assert not (cache.folder / f"{REMOVED}1").exists()


@pytest.mark.parametrize("key", ["", "../a", "a/b", ".hidden"])
def test_keys_stay_in_the_folder(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        _cache(tmp_path).entry(key, ROW, {})
