"""A killed process's output is gone on with, and ends as if nothing had happened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from helpers_predict import COLOURS, Colours, lines, write_pictures
from pyarrow import parquet

from convgraft.durable.lines import write_config
from convgraft.errors import ArtifactError, UsageError
from convgraft.predict import answer_files
from convgraft.predict.resume import Output, check_place
from convgraft.predict.rows import RowForm
from convgraft.predict.writers import FORMATS

FORM = RowForm(COLOURS)
ABOUT = {"network": "0", "engine": "by eye"}


@pytest.fixture(autouse=True)
def _no_commits_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may need five seconds for a few rows."""
    monkeypatch.setattr("convgraft.predict.resume.COMMIT_SECONDS", 1e9)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    names = write_pictures(folder, 40)
    (folder / "two\nlines.png").write_bytes(b"")
    return [*names[:20], str(folder / "two\nlines.png"), *names[20:]]


def output(out: Path, **changes: Any) -> Output:
    given: dict[str, Any] = {"format": out.suffix[1:], "form": FORM, "about": ABOUT, **changes}
    return Output(out, **given)


def write(made: Output, names: list[str], rows: int | None = None) -> Output:
    """Rows for the remaining names, for so many of them in this process."""
    left: Iterator[str] = made.remaining(iter(names))
    for found in answer_files(islice(left, rows), Colours(), batch=5):
        made.add(found)
    return made


def content(path: Path) -> Any:
    return parquet.read_table(path).to_pylist() if path.suffix == ".parquet" else path.read_bytes()


def killed(made: Output) -> None:
    """What a process leaves that is killed without a word, after writing more than it committed."""
    writer: Any = made._writer
    if hasattr(writer, "_file"):
        writer._file.write(b'{"file": "torn')
        writer._file.flush()
    else:
        (made.folder / f"{writer._parts}.parquet").write_bytes(b"PAR1torn")
        (made.folder / f".{writer._parts}.parquet.part").write_bytes(b"torn")
    (made.folder / ".state.json.part").write_text('{"rows"')
    made._holding = None


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stops", [(0,), (5,), (20, 3), (41,)])
def test_a_killed_output_ends_as_one_in_one_go(
    pictures: list[str], tmp_path: Path, format: str, stops: tuple[int, ...]
) -> None:
    write(output(tmp_path / f"whole.{format}"), pictures).finish()
    out = tmp_path / f"killed.{format}"
    for rows in stops:
        made = write(output(out), pictures, rows)
        made.commit()
        killed(made)
        assert not out.exists()
    made = write(output(out), pictures)
    assert made.begun.rows == sum(stops)
    made.finish()
    assert made.done.rows == 41 and made.done.failed == 1
    assert content(out) == content(tmp_path / f"whole.{format}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, f"whole.{format}"]


def test_what_was_not_committed_is_done_again(pictures: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    made = write(output(out), pictures, 10)
    made.commit()
    for found in answer_files(pictures[10:20], Colours(), batch=5):
        made.add(found)
    killed(made)
    again = output(out)
    assert again.begun.rows == again.done.rows == 10
    write(again, pictures).finish()
    assert [row["file"] for row in lines(out)] == pictures


def test_rows_are_committed_from_time_to_time(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convgraft.predict.resume.COMMIT_ROWS", 10)
    made = write(output(tmp_path / "rows.csv"), pictures)
    assert made.done.rows == 40
    monkeypatch.setattr("convgraft.predict.resume.COMMIT_SECONDS", 0.0)
    made = write(output(tmp_path / "seconds.csv"), pictures)
    assert made.done.rows == 41


def test_a_stop_right_after_a_commit_tells_what_is_on_the_disk(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write(output(tmp_path / "out.csv"), pictures, 10)

    def stopped(path: Path, values: dict[str, Any]) -> None:
        write_config(path, values)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("convgraft.predict.resume.write_config", stopped)
        with pytest.raises(KeyboardInterrupt):
            made.commit()
    made.stop()
    assert made.done.rows == 10
    del made
    assert output(tmp_path / "out.csv").begun.rows == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"about": {**ABOUT, "network": "1"}},
        {"about": {**ABOUT, "engine": "by ear"}},
        {"form": RowForm(COLOURS, top=1)},
        {"form": RowForm(COLOURS, probabilities=True)},
        {"format": "csv"},
    ],
)
def test_other_settings_are_refused_or_begin_anew(
    pictures: list[str], tmp_path: Path, changes: dict[str, Any]
) -> None:
    out = tmp_path / "out.jsonl"
    write(output(out), pictures, 10).stop()
    with pytest.raises(ArtifactError, match="holds another prediction"):
        output(out, **changes)
    made = output(out, **changes, overwrite=True)
    assert made.begun.rows == 0
    write(made, pictures).finish()
    assert out.read_bytes().count(b".png") == 41


@pytest.mark.parametrize("change", ["one less", "another", "fewer", "none"])
def test_other_files_are_refused(pictures: list[str], tmp_path: Path, change: str) -> None:
    names = {
        "one less": pictures[1:],
        "another": ["x.png", *pictures[1:]],
        "fewer": pictures[:5],
        "none": [],
    }[change]
    write(output(tmp_path / "out.csv"), pictures, 10).stop()
    with pytest.raises(ArtifactError, match="other files"):
        output(tmp_path / "out.csv").remaining(iter(names))


def test_overwrite_goes_on_where_the_same_was_begun(pictures: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("something of somebody")
    with pytest.raises(UsageError, match="is there already"):
        output(out)
    write(output(out, overwrite=True), pictures, 10).stop()
    assert out.read_text() == "something of somebody"
    made = output(out, overwrite=True)
    assert made.begun.rows == 10
    write(made, pictures).finish()
    assert out.read_bytes().count(b".png") == 41


def test_a_place_that_cannot_be_is_told_before_the_work(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name, words in (
        ("gone/out.csv", "no folder"),
        ("folder.csv", "is a folder"),
        ("pipe.csv", "no ordinary file"),
    ):
        with pytest.raises(UsageError, match=words):
            check_place(tmp_path / name, overwrite=True)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("after", ["the name", "some files", "all files"])
def test_killed_after_the_file_had_its_name_nothing_is_left_by_the_next_one(
    pictures: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    after: str,
) -> None:
    out = tmp_path / f"out.{format}"
    made = write(output(out), pictures)
    with monkeypatch.context() as patch:
        patch.setattr("convgraft.predict.resume.shutil.rmtree", lambda *_, **more: None)
        if after == "the name":
            patch.setattr("convgraft.predict.resume._remove", lambda folder: None)
        made.finish()
    whole = content(out)
    if after == "all files":
        (made.folder / "whole.json").unlink()
        (made.folder / ".lock").unlink(missing_ok=True)
    assert made.folder.is_dir()
    with pytest.raises(UsageError, match="is there already"):
        check_place(out)
    assert list(tmp_path.iterdir()) == [out] and content(out) == whole
    write(output(out, overwrite=True), pictures).finish()
    assert list(tmp_path.iterdir()) == [out] and content(out) == whole


@pytest.mark.parametrize("format", FORMATS)
def test_killed_right_before_the_file_had_its_name_it_goes_on(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    out = tmp_path / f"out.{format}"
    write(output(tmp_path / f"whole.{format}"), pictures).finish()
    made = write(output(out), pictures)
    with monkeypatch.context() as patch:
        patch.setattr("convgraft.predict.resume.put_in_place", lambda part, path: 1 / 0)
        patch.setattr("convgraft.durable.lines.put_in_place", lambda part, path: part.replace(path))
        with pytest.raises(ZeroDivisionError):
            made.finish()
    made._holding = None
    again = output(out)
    assert again.begun.rows == len(pictures)
    write(again, pictures).finish()
    assert content(out) == content(tmp_path / f"whole.{format}")
    assert not again.folder.exists()


def test_what_others_left_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "out.csv.part"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ArtifactError, match="in use"):
            output(tmp_path / "out.csv", overwrite=overwrite)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_damaged_parts_are_told(pictures: list[str], tmp_path: Path) -> None:
    for format, break_it in (
        ("csv", lambda folder: (folder / "rows").write_text("short")),
        ("parquet", lambda folder: (folder / "0.parquet").unlink()),
        ("jsonl", lambda folder: (folder / "state.json").write_text('{"strange": 1}')),
        ("json", lambda folder: (folder / "about.json").write_text("[")),
    ):
        out = tmp_path / f"out.{format}"
        write(output(out), pictures, 10).stop()
        break_it(out.with_name(f"{out.name}.part"))
        with pytest.raises(ArtifactError, match=r"out\.\w+\.part"):
            output(out)


def test_a_full_disk_loses_nothing_that_was_committed(
    pictures: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    made = write(output(out), pictures, 10)
    made.commit()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            made.commit()
        made.stop()
    del made
    again = output(out)
    assert again.begun.rows == 10
    write(again, pictures).finish()
    assert [row["file"] for row in lines(out)] == pictures
