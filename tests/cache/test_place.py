"""The user's own cache: its folder and its limit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers_cache import ROW, ids_of, values_of

from convgraft.cache import default_cache
from convgraft.data.user_caches import read_size
from convgraft.errors import ConvgraftError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CONVGRAFT_CACHE", "CONVGRAFT_CACHE_LIMIT", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.platform", "linux")


def test_by_default_it_lies_where_the_system_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = default_cache()
    assert cache.folder == tmp_path / "home" / ".cache" / "convgraft"
    assert (cache.limit, cache.dtype) == (20 * 2**30, "float32")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache().folder == tmp_path / "xdg" / "convgraft"
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_cache().folder == tmp_path / "home" / "Library" / "Caches" / "convgraft"
    assert not (tmp_path / "home").exists()


def test_the_settings_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("CONVGRAFT_CACHE_LIMIT", "500MB")
    cache = default_cache()
    assert (cache.folder, cache.limit) == (tmp_path / "mine", 500 * 10**6)
    with cache.entry("a", ROW, {}).writing() as writer:
        writer.append(ids_of(2), values_of(ids_of(2)))
    entry = default_cache().entry("a", ROW, {})
    assert torch.equal(entry.read(entry.slots(ids_of(2))), values_of(ids_of(2)))


def test_sizes() -> None:
    sizes = {
        "20GB": 20 * 10**9,
        "2GiB": 2 * 2**30,
        "1.5 kib": 1536,
        "3T": 3 * 10**12,
        "1000": 1000,
        "7B": 7,
    }
    assert {text: read_size(text) for text in sizes} == sizes


@pytest.mark.parametrize("text", ["much", "-20", "-1GB", "GB", "1e3GB", "nanGB"])
def test_a_limit_that_is_none_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE_LIMIT", text)
    with pytest.raises(ConvgraftError, match="CONVGRAFT_CACHE_LIMIT") as told:
        default_cache()
    assert told.value.exit_code == 2
    assert "20GB" in str(told.value)


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConvgraftError, match="cannot be written") as told:
        default_cache()
    assert told.value.exit_code == 2
    assert "CONVGRAFT_CACHE" in str(told.value)
