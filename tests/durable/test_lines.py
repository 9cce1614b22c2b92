"""Lines and configurations say what they held when they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from convgraft.durable.lines import append_line, read_config, read_lines, write_config
from convgraft.errors import ArtifactError

LINE = {"cell": "100-0", "arm": "a\u2028b", "val": 0.1 + 0.2, "none": None, "few": [1, 2]}


def flipped(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    """Also with a character in it at which other readers of text begin a line."""
    for _ in range(2):
        append_line(tmp_path / "x.jsonl", LINE)
    assert read_lines(tmp_path / "x.jsonl") == [LINE, LINE]
    write_config(tmp_path / "x.json", LINE)
    assert read_config(tmp_path / "x.json") == LINE


@pytest.mark.parametrize(("old", "new"), [("100-0", "100-1"), ('"val"', '"vam"'), ("[1", "[3")])
def test_another_value_is_told(tmp_path: Path, old: str, new: str) -> None:
    append_line(tmp_path / "x.jsonl", LINE)
    flipped(tmp_path / "x.jsonl", old, new)
    with pytest.raises(ArtifactError, match=r"x\.jsonl.* is damaged"):
        read_lines(tmp_path / "x.jsonl")
    write_config(tmp_path / "x.json", {"arm": "join", "seed": 100})
    flipped(tmp_path / "x.json", "100", "101")
    with pytest.raises(ArtifactError, match=r"x\.json.* is damaged"):
        read_config(tmp_path / "x.json")


def test_lines_of_earlier_versions_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"cell": "all-0"}\n{"half')
    assert read_lines(tmp_path / "x.jsonl") == [{"cell": "all-0"}]
    (tmp_path / "x.jsonl").write_text("3\n")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_lines(tmp_path / "x.jsonl")
