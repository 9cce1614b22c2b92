"""Which files are looked at, and in which order."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import pytest

from convgraft.errors import DataError
from convgraft.predict.files import check_paths, count_names, image_names
from convgraft.predict.name_list import LONGEST, read_names


@pytest.fixture
def holiday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures in folders, hidden ones, others, and a link that leads back."""
    for name in ("b/2.png", "b/1.JPG", "a.png", "b-c/3.gif", ".hidden/4.png", ".5.png", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b-c" / "back").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*paths: str, stdin: bytes = b"") -> list[str]:
    return list(image_names(check_paths(paths), BytesIO(stdin)))


def test_a_folder_stands_for_the_visible_images_below_it(holiday: Path) -> None:
    assert names(".") == ["a.png", "b-c/3.gif", "b/1.JPG", "b/2.png"]
    assert names(f"{holiday}/b/") == [f"{holiday}/b/1.JPG", f"{holiday}/b/2.png"]
    assert count_names(["."]) == 4


def test_files_are_taken_whatever_their_names(holiday: Path) -> None:
    (holiday / "[1].x").touch()
    assert names("note.txt", "[1].x", "a.png", "a.png") == ["note.txt", "[1].x", "a.png", "a.png"]


def test_patterns_are_expanded(holiday: Path) -> None:
    assert names("b/*.png", "[b]") == ["b/2.png", "b/1.JPG", "b/2.png"]
    assert names("**/[12].*") == ["b/1.JPG", "b/2.png"]


def test_a_pattern_that_matches_a_folder_and_what_is_in_it_gives_each_image_once(
    holiday: Path,
) -> None:
    assert names("b/**") == ["b/1.JPG", "b/2.png"]
    assert names("./**") == names(".")
    assert names("b/*", "b") == ["b/1.JPG", "b/2.png"] * 2  # named twice on purpose


@pytest.mark.parametrize("path", ["gone.png", "b/*.bmp", "x" * 5000, ""])
def test_what_is_missing_is_named(holiday: Path, path: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        check_paths(["a.png", path])


def test_a_list_says_one_file_a_name(holiday: Path) -> None:
    assert names("a.png", "-", stdin=b"b\ngone.png\n") == ["a.png", "b", "gone.png"]
    assert count_names(["a.png", "-"]) is None
    with pytest.raises(DataError, match="once"):
        check_paths(["-", "-"])


def test_a_folder_below_that_cannot_be_listed_is_a_name(
    holiday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("b"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert names(".") == ["a.png", "b-c/3.gif", "b"]
    with pytest.raises(DataError, match="cannot list"):
        names("b")


class Slow(BytesIO):
    """A pipe into which one byte comes at a time."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(1)


@pytest.mark.parametrize("stream", [BytesIO, Slow])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a b.png\r\n\n c.png", ["a b.png", " c.png"]),
        (b"one", ["one"]),
        (b"", []),
        (b"two\nlines\0c\r\0", ["two\nlines", "c\r"]),
        (b"caf\xe9\n\xc3\xa9\n", ["caf\udce9", "é"]),
    ],
)
def test_lists_of_names(stream: type[BytesIO], data: bytes, expected: list[str]) -> None:
    if stream is Slow and b"\0" in data:
        pytest.skip("what the separator is, the first bytes that come tell")
    assert list(read_names(stream(data))) == expected


def test_names_come_before_the_list_has_ended() -> None:
    asked: list[int] = []

    class Endless(BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            asked.append(1)
            return b"a.png\n" * 10

    found = read_names(Endless())
    assert [next(found) for _ in range(1000)] == ["a.png"] * 1000
    assert len(asked) == 100


def test_what_is_no_list_is_refused_before_it_fills_the_memory() -> None:
    class Noise(BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return b"x" * 2**16

    with pytest.raises(DataError, match=f"{LONGEST + 2**16} bytes without"):
        list(read_names(Noise()))
