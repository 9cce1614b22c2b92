"""Several processes at once, and processes that are killed at any moment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_cache import holds_right_rows, ids_of, open_entry, started, values_of

from convgraft.cache import writer

IDS = ids_of(2000)
CHUNK = 20
FEW, MOST = 200, 1000  # rows: killed somewhere in between
PATIENCE = 300  # seconds, on a busy machine


def _write_missing(place: Path, most: int = len(IDS)) -> None:
    """Write what is not there; with `most` rows, slowly, and then wait to be killed."""
    entry = open_entry(place)
    with entry.writing() as appending:
        missing = IDS[entry.slots(IDS) < 0]
        for start in range(0, len(missing), CHUNK):
            ids = missing[start : start + CHUNK]
            appending.append(ids, values_of(ids))
            if most < len(IDS):
                time.sleep(0.002 if start + CHUNK < most else PATIENCE)


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_chunk(place: Path, step: str) -> None:
    """Killed in the fourth chunk, before `step`, with half of the rows written."""
    entry = open_entry(place)
    with entry.writing() as appending:
        for start in range(0, 3 * CHUNK, CHUNK):
            appending.append(IDS[start : start + CHUNK], values_of(IDS[start : start + CHUNK]))
        if step == "write_all":
            (place / "rows.bin").open("ab").write(b"half of a chunk")
        setattr(writer, step, _die)
        appending.append(IDS[3 * CHUNK : 4 * CHUNK], values_of(IDS[3 * CHUNK : 4 * CHUNK]))


@pytest.mark.parametrize("step", ["write_all", "write_index"])
def test_killed_in_a_chunk_the_whole_ones_are_there(place: Path, step: str) -> None:
    process = started(_die_in_chunk, place, step)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    entry = open_entry(place)
    assert entry.rows == 3 * CHUNK
    assert holds_right_rows(entry, IDS[: 3 * CHUNK])
    _write_missing(place)
    assert holds_right_rows(open_entry(place), IDS)


def test_killed_at_any_moment_it_goes_on(place: Path) -> None:
    process = started(_write_missing, place, MOST)
    deadline = time.monotonic() + PATIENCE
    while open_entry(place).rows < FEW and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join(PATIENCE)
    entry = open_entry(place)
    assert FEW <= entry.rows <= MOST
    assert entry.rows % CHUNK == 0
    assert entry.verify() == 0
    assert holds_right_rows(entry, IDS[: entry.rows])
    _write_missing(place)
    assert holds_right_rows(open_entry(place), IDS)


def test_two_processes_that_want_the_same(place: Path) -> None:
    both = [started(_write_missing, place) for _ in range(2)]
    for process in both:
        process.join(PATIENCE)
    assert [process.exitcode for process in both] == [0, 0]
    entry = open_entry(place)
    assert entry.rows == len(IDS)
    assert holds_right_rows(entry, IDS)
    assert len(np.unique(entry.slots(IDS))) == len(IDS)
    assert entry.verify() == 0
