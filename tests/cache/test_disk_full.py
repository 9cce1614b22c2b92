"""A full disk stops with a clear word, and leaves what was whole before."""

from __future__ import annotations

import errno
import resource
from pathlib import Path
from typing import BinaryIO

import pytest
from helpers_cache import ROW, filled, holds_right_rows, ids_of, open_entry, started, values_of
from numpy.typing import NDArray

from convgraft.cache import writer
from convgraft.cache.index import INDEX
from convgraft.cache.row_file import ROWS
from convgraft.errors import RunError

IDS = ids_of(60)


def _write_half(code: int):
    def write(file: BinaryIO, rows: NDArray) -> None:
        file.write(rows.tobytes()[: rows.nbytes // 2])
        raise OSError(code, "no room")

    return write


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_what_was_committed_stays_and_nothing_more(
    place: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = filled(place)
    with monkeypatch.context() as patch, entry.writing() as appending:
        patch.setattr(writer, "write_all", _write_half(code))
        with pytest.raises(RunError, match="the disk is full") as told:
            appending.append(IDS[40:], values_of(IDS[40:]))
    for part in (str(place), "convgraft cache clear", "CONVGRAFT_CACHE", "MiB"):
        assert part in str(told.value)
    assert (place / ROWS).stat().st_size == 40 * ROW.row_bytes
    assert holds_right_rows(entry, IDS[:40])
    with entry.writing() as appending:
        appending.append(IDS[40:], values_of(IDS[40:]))
    assert holds_right_rows(open_entry(place), IDS)


def test_no_half_store_is_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "write_all", _write_half(errno.ENOSPC))
    with open_entry(place).writing() as appending, pytest.raises(RunError, match="full"):
        appending.append(IDS, values_of(IDS))
    assert not place.exists()


def test_a_disk_that_is_full_for_the_index(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = filled(place)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch, entry.writing() as appending:
        patch.setattr(writer, "write_index", refuse)
        with pytest.raises(RunError, match="full"):
            appending.append(IDS[40:], values_of(IDS[40:]))
    assert (place / ROWS).stat().st_size == 40 * ROW.row_bytes
    assert not (place / f"{INDEX}.part").exists()
    assert holds_right_rows(open_entry(place), IDS[:40])


def _write_under_a_limit(place: Path, told: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
    ids = ids_of(2000)
    entry = open_entry(place)
    try:
        with entry.writing() as appending:
            for start in range(0, 2000, 50):
                part = ids[start : start + 50]
                appending.append(part, values_of(part))
    except RunError as error:
        told.write_text(f"{entry.rows} {error}")


def test_a_real_limit_of_the_operating_system(place: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    process = started(_write_under_a_limit, place, told)
    process.join(300)
    assert process.exitcode == 0
    rows, _, message = told.read_text().partition(" ")
    assert "the disk is full" in message
    entry = open_entry(place)
    assert entry.rows == int(rows) == 6000 // (50 * ROW.row_bytes) * 50
    assert (place / ROWS).stat().st_size == entry.rows * ROW.row_bytes
    assert holds_right_rows(entry, ids_of(2000)[: entry.rows])
