"""`convgraft cache`: what is listed, checked and deleted, and what is refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_cli import convgraft

from convgraft.cache import Cache, RowType, default_cache

ROW = RowType((8, 2), "float16")
KEYS = ("aa11" + "0" * 60, "aa22" + "0" * 60, "bb33" + "0" * 60)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Three entries of ten rows, in two chunks each."""
    monkeypatch.setenv("CONVGRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CONVGRAFT_CACHE_LIMIT", "10MiB")
    cache = default_cache()
    ids = np.arange(10).astype(np.uint64)
    for key in KEYS:
        facts = {"what": f"a:features of net {key[:2]}"}
        with cache.entry(key, ROW, facts).writing() as writer:
            writer.append(ids[:5], torch.ones(5, 8, 2))
            writer.append(ids[5:], torch.ones(5, 8, 2))
    two_days_ago = time.time() - 50 * 3600
    os.utime(cache.folder / KEYS[0] / "used", (two_days_ago, two_days_ago))
    return cache


def _keys(cache: Cache) -> set[str]:
    return {info.key for info in cache.entries()}


def test_list_tells_what_is_there(cache: Cache) -> None:
    outcome = convgraft("cache", "list")
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.out.split())
    for part in ("aa1100000000 ", "a:features of net bb", "float16 8x2", "2 days ago", "just now",
                 "of 10.0 MiB in"):  # fmt: skip
        assert part in told
    assert KEYS[0] not in told


def test_list_as_json(cache: Cache) -> None:
    told = json.loads(convgraft("cache", "list", "--json").out)
    assert told["folder"] == str(cache.folder)
    assert told["limit"] == 10 * 2**20
    assert told["bytes"] == cache.size()
    assert {entry["key"] for entry in told["entries"]} == set(KEYS)
    assert told["entries"][-1]["rows"] == 10
    assert told["entries"][-1]["shape"] == [8, 2]


def test_clear_takes_prefixes_of_keys(cache: Cache) -> None:
    outcome = convgraft("cache", "clear", "aa2", "bb", "--yes")
    assert outcome.code == 0, outcome.err
    assert "freed" in outcome.err
    assert _keys(cache) == {KEYS[0]}


def test_clear_of_all(cache: Cache) -> None:
    assert convgraft("cache", "clear", "--yes").code == 0
    assert _keys(cache) == set()
    outcome = convgraft("cache", "clear", "--yes")
    assert (outcome.code, outcome.err.split(" in ")[0]) == (0, "nothing is stored")


@pytest.mark.parametrize(("keys", "word"), [
    (["aa"], "begins 2 keys"),
    (["aa", "--yes"], "aa1100000000, aa2200000000"),
    (["bb34", "--yes"], "did you mean bb33"),
    (["aa11", "zz", "--yes"], 'nothing is stored under "zz"'),
    ([], "--yes"),
    (["aa11"], "--yes"),
])  # fmt: skip
def test_clear_refuses(
    cache: Cache, keys: list[str], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    outcome = convgraft("cache", "clear", *keys)
    assert outcome.code == 2, outcome.err
    assert word in outcome.err
    assert _keys(cache) == set(KEYS)


@pytest.mark.parametrize(("answer", "left"), [("y", set()), ("n", set(KEYS))])
def test_clear_asks_at_a_terminal(
    cache: Cache, answer: str, left: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO(f"{answer}\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    outcome = convgraft("cache", "clear")
    assert outcome.code == (0 if answer == "y" else 1)
    assert _keys(cache) == left


def test_what_is_being_written_is_told_and_stays(cache: Cache) -> None:
    with cache.entry(KEYS[0], ROW, {}).writing():
        outcome = convgraft("cache", "clear", "--yes")
    assert outcome.code == 0
    assert "in use, and left as it is: aa11" in outcome.err
    assert _keys(cache) == {KEYS[0]}


def test_verify_tells_and_forgets_what_is_damaged(cache: Cache) -> None:
    rows = cache.folder / KEYS[0] / "rows.bin"
    rows.write_bytes(b"\xff" + rows.read_bytes()[1:])
    (cache.folder / KEYS[1] / "index.safetensors").write_text("damaged")
    outcome = convgraft("cache", "verify")
    assert outcome.code == 0, outcome.err
    assert "aa1100000000 a:features of net aa: 5 of 10 images forgotten" in outcome.err
    assert "aa2200000000: no index; deleted" in outcome.err
    assert "3 checked, 2 damaged" in outcome.err
    assert {info.key: info.rows for info in cache.entries()} == {KEYS[0]: 5, KEYS[2]: 10}
    assert "2 checked, 0 damaged" in convgraft("cache", "verify").err


def test_a_wrong_limit_is_wrong_use(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE_LIMIT", "lots")
    outcome = convgraft("cache", "list")
    assert outcome.code == 2
    assert "20GB" in outcome.err


def test_the_command_line_is_there_without_torch() -> None:
    heavy = "{'torch', 'numpy', 'filelock'} & set(sys.modules)"
    script = f"import sys, convgraft.cli.main; print({heavy})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
