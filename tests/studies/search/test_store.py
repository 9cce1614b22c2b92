"""A search's folder: what is on the disk is what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from convgraft.errors import ArtifactError, UsageError
from convgraft.studies.search.store import TRIALS, SearchStore


def test_lines_and_seconds_come_back_and_half_a_line_is_cut_off(tmp_path: Path) -> None:
    store = SearchStore.claim(tmp_path, {"models": ["a"]})
    assert store.elapsed == 0
    store.append({"key": "one", "val": 0.5})
    store.spend(12.5)
    with (tmp_path / TRIALS).open("a") as file:
        file.write('{"key": "tw')
    again = SearchStore.claim(tmp_path, {"models": ["a"]})
    assert again.find("one") == {"key": "one", "val": 0.5}
    assert again.find("two") is None
    assert again.elapsed == 12.5
    again.append({"key": "two"})
    assert len(SearchStore.claim(tmp_path, {"models": ["a"]}).lines) == 2


def test_another_search_and_other_files_are_refused(tmp_path: Path) -> None:
    SearchStore.claim(tmp_path / "one", {"models": ["a"], "seed": 0})
    with pytest.raises(UsageError, match="another search") as told:
        SearchStore.claim(tmp_path / "one", {"models": ["a"], "seed": 1})
    assert "other values of seed" in str(told.value)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "notes.txt").touch()
    with pytest.raises(ArtifactError, match="in use"):
        SearchStore.claim(tmp_path / "two", {})


def test_a_choice_is_remembered_and_must_be_a_trial(tmp_path: Path) -> None:
    store = SearchStore.claim(tmp_path, {})
    for number in range(2):
        store.append({"number": number})
    assert store.chosen is None
    store.choose(1)
    assert SearchStore.claim(tmp_path, {}).chosen == {"number": 1}
    store.choose(2)
    with pytest.raises(ArtifactError, match="cannot be read"):
        _ = store.chosen


def test_only_one_network_is_kept(tmp_path: Path) -> None:
    store = SearchStore.claim(tmp_path / "one", {})
    for number in range(3):
        store.kept(number).mkdir(parents=True)
    store.keep_only(1)
    assert [path.name for path in (tmp_path / "one" / "kept").iterdir()] == ["0001"]
