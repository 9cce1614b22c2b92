"""What a worker takes over from the process that sends it tasks, and how often it reports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convgraft.errors import RunError
from convgraft.studies import workers
from convgraft.studies.workers import Surroundings, paced


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("CONVGRAFT_CACHE", "of this machine")
    yield
    torch.set_num_threads(threads)


def test_it_works_on_as_many_threads_in_the_same_folder_with_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    told = (("CONVGRAFT_CACHE", "of the other one"), ("OMP_NUM_THREADS", None))
    Surroundings(threads=3, folder=str(tmp_path / "there"), variables=told).apply()
    assert torch.get_num_threads() == 3
    assert Path.cwd() == tmp_path / "there"
    assert os.environ["CONVGRAFT_CACHE"] == "of the other one"
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_store_that_nobody_names_and_a_folder_that_is_not_there_stay_its_own(
    tmp_path: Path,
) -> None:
    told = (("CONVGRAFT_CACHE", None), ("OMP_NUM_THREADS", "2"))
    Surroundings(folder=str(tmp_path / "elsewhere"), variables=told).apply()
    assert Path.cwd() == tmp_path
    assert os.environ["CONVGRAFT_CACHE"] == "of this machine"
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_it_is_what_the_process_has_that_sends_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    monkeypatch.delenv("CONVGRAFT_CACHE_LIMIT", raising=False)
    told = Surroundings()
    assert (told.threads, told.folder) == (2, str(Path.cwd()))
    assert dict(told.variables) == {
        "CONVGRAFT_CACHE": "of this machine",
        "CONVGRAFT_CACHE_LIMIT": None,
        "OMP_NUM_THREADS": "7",
    }


def test_another_version_is_refused_before_anything_changes() -> None:
    with pytest.raises(RunError, match="another version") as told:
        replace(Surroundings(), version="0.0.0", threads=5).apply()
    assert told.value.expected == "0.0.0"
    assert torch.get_num_threads() != 5


def test_reports_have_pauses_and_the_last_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [100.0], list[tuple[str, int, int]]()
    monkeypatch.setattr(workers.time, "monotonic", lambda: now[0])
    report = paced(lambda *one: told.append(one), pause=1.0)
    for seconds, what, done in (
        (0, "a", 1),
        (0.5, "a", 2),
        (0.5, "b", 1),
        (1.0, "a", 3),
        (1.1, "a", 9),
    ):
        now[0] = 100.0 + seconds
        report(what, done, 9)
    assert told == [("a", 1, 9), ("b", 1, 9), ("a", 3, 9), ("a", 9, 9)]
