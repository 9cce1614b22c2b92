"""`convgraft predict`: what a user sees, and what ends up in files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from helpers_cli import convgraft, write_pictures

import convgraft as cg
from predict.helpers_predict import write_onnx

PATIENCE = 300  # seconds, on a busy machine
COLUMNS = "file,label,probability,label_2,probability_2,label_3,probability_3,error"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one small network that was never trained."""
    sources = {"a": cg.source("cifar_resnet20", classes=3)}
    plan = cg.STRATEGIES["finetune"].write(cg.Ingredients(sources, image_size=8, classes=3))
    composite = cg.compile(plan, sources).eval()
    return cg.save(tmp_path_factory.mktemp("runs") / "net", composite, labels=["x", "y", "z"])


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported file that says how much red, green and blue there is in an image."""
    return write_onnx(tmp_path_factory.mktemp("exported") / "colours.onnx")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 pictures, and two files that are none."""
    folder = write_pictures(tmp_path_factory.mktemp("data") / "colours")
    (folder / "red" / "05.png").write_bytes(b"")
    (folder / "two\nlines.png").write_bytes(b"no picture")
    return folder


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_rows_for_every_file_in_every_format(net: Path, colours: Path, tmp_path: Path) -> None:
    from pyarrow import parquet

    told: dict[str, list[tuple[object, object]]] = {}
    for format in ("csv", "json", "jsonl", "parquet"):
        outcome = convgraft("predict", net, colours, "--out", tmp_path / f"out.{format}")
        assert outcome.code == 0, outcome.err
        assert outcome.out == ""
        assert "37 images, 2 could not be read" in outcome.err
    told["csv"] = [(r["file"], r["label"]) for r in read((tmp_path / "out.csv").read_text())]
    rows = json.loads((tmp_path / "out.json").read_text())
    told["json"] = [(row["file"], row.get("label", "")) for row in rows]
    objects = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    told["jsonl"] = [(row["file"], row.get("label", "")) for row in objects]
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    told["parquet"] = [(row["file"], row["label"] or "") for row in table]
    assert told["csv"] == told["json"] == told["jsonl"] == told["parquet"]
    for file, label in told["csv"]:
        assert label in (Path(str(file)).parent.name, "")
    assert [label for _, label in told["csv"]].count("") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.csv", "out.json", "out.jsonl", "out.parquet"
    ]  # fmt: skip


def test_rows_say_what_the_network_says(run: Path, colours: Path, tmp_path: Path) -> None:
    import torch

    from convgraft.data import read_resized

    convgraft("predict", run, colours, "--out", tmp_path / "x.csv", "--probabilities", "--top", 1)
    loaded = cg.load(run)
    rows = read((tmp_path / "x.csv").read_text())
    assert list(rows[0]) == ["file", "label", "probability", "p:x", "p:y", "p:z", "error"]
    for row in rows:
        if row["error"]:
            continue
        pixels = read_resized(Path(row["file"]).read_bytes(), 8)[None]
        with torch.inference_mode():
            chances = loaded.composite(pixels)["label"].softmax(1)[0]
        assert [float(row[f"p:{name}"]) for name in "xyz"] == pytest.approx(chances.tolist(), 1e-4)
        assert row["label"] == "xyz"[int(chances.argmax())]
        assert float(row["probability"]) == pytest.approx(float(chances.max()), 1e-4)


def test_rows_may_be_printed(net: Path, colours: Path) -> None:
    outcome = convgraft("predict", net, colours, "--format", "csv")
    assert outcome.out.splitlines()[0] == COLUMNS
    assert len(read(outcome.out)) == 37
    printed = convgraft("predict", net, colours, "--format", "jsonl").out.splitlines()
    assert json.loads(convgraft("predict", net, colours, "--json").out) == [
        *map(json.loads, printed)
    ]
    assert outcome.err.count("left out: ") == 2


def test_a_list_on_standard_input(
    net: Path, colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(colours / "two\nlines.png"), str(colours / "red" / "00.png"), "gone.png"]
    for separator, count in (("\0", 3), ("\n", 4)):
        data = io.BytesIO(separator.join(names).encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
        outcome = convgraft("predict", net, "-", "--format", "jsonl")
        rows = [json.loads(line) for line in outcome.out.splitlines()]
        assert outcome.code == 0 and len(rows) == count
        assert [row["file"] for row in rows][-2:] == names[1:]
        assert "No such file" in rows[-1]["error"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    outcome = convgraft("predict", net, "-")
    assert outcome.code == 2 and "an empty list" in outcome.err


def test_what_is_done_is_told_as_json(net: Path, colours: Path, tmp_path: Path) -> None:
    outcome = convgraft("predict", net, colours, "--out", tmp_path / "x.csv", "--json")
    told = json.loads(outcome.out)
    assert (told["images"], told["failed"], told["engine"]) == (37, 2, "ONNX Runtime")
    assert told["images_per_second"] > 0


def test_many_broken_images_are_not_all_named(net: Path, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}.png").touch()
    outcome = convgraft("predict", net, tmp_path, "--out", tmp_path / "x.csv")
    assert outcome.code == 1 and "none of the images could be read" in outcome.err
    assert outcome.err.count("is empty") == 20
    assert "10 more" in outcome.err
    assert len(read((tmp_path / "x.csv").read_text())) == 30
    assert convgraft("predict", net, tmp_path).err.count("is empty") == 30


def test_strict_stops_and_goes_on(net: Path, colours: Path, tmp_path: Path) -> None:
    command = ("predict", net, colours, "--out", tmp_path / "x.csv", "--batch-size", 4)
    outcome = convgraft(*command, "--strict")
    assert outcome.code == 2 and "05.png is empty" in outcome.err
    assert "28 images are done: the same command goes on from there" in outcome.err
    assert not (tmp_path / "x.csv").exists()
    outcome = convgraft(*command)
    assert outcome.code == 0 and "goes on after 28 images" in outcome.err
    rows = [row["file"] for row in read((tmp_path / "x.csv").read_text())]
    assert len(rows) == len(set(rows)) == 37


WRONG = {
    "place": (["--out", "gone/x.csv"], 'no folder "gone"'),
    "folder": (["--out", "."], "is a folder"),
    "there already": (["--out", "thesis.csv"], "--overwrite"),
    "no format": (["--out", "x.txt"], "csv, json, jsonl, parquet"),
    "another format": (["--out", "x.csv", "--format", "parket"], "did you mean parquet"),
    "printed parquet": (["--format", "parquet"], "--out FILE"),
    "two formats": (["--format", "csv", "--json"], "--json is another"),
    "table of all": (["--probabilities"], "a table"),
    "engine": (["--engine", "tensorflow"], "auto, onnx, torch"),
    "not exported": (["--engine", "onnx"], "convgraft export"),
    "stream twice": (["-", "-"], "once"),
    "empty folder": (["--out", "x.csv"], "no images there"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use(
    name: str, run: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("thesis.csv").write_text("years of work")
    Path("empty").mkdir()
    options, words = WRONG[name]
    outcome = convgraft("predict", run, "empty" if name == "empty folder" else colours, *options)
    assert outcome.code == 2, outcome.err
    assert words in outcome.err and "Traceback" not in outcome.err
    assert outcome.out == ""
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "thesis.csv"]
    assert Path("thesis.csv").read_text() == "years of work"


def command(arguments: list[str], stdin: Path, told: Path) -> None:
    """The command in a process of its own, which waits when rows are on the disk."""
    from convgraft.cli.main import main
    from convgraft.predict import Answers, resume

    def add(self: resume.Output, answers: Answers) -> None:
        resume_add(self, answers)
        if self.done.rows:
            time.sleep(PATIENCE)  # until the signal comes

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
    resume_add, resume.Output.add = resume.Output.add, add
    resume.COMMIT_ROWS = 50
    with stdin.open() as sys.stdin, told.open("w") as file, contextlib.redirect_stderr(file):
        main(arguments)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_command_goes_on(
    net: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    """Stopped somewhere in a list that is long enough."""
    names = [str(file) for file in sorted(colours.rglob("*.png"))] * 60
    data = "\0".join(names).encode()
    (tmp_path / "names").write_bytes(data)
    out, state = tmp_path / "x.jsonl", tmp_path / "x.jsonl.part" / "state.json"
    arguments = ["predict", str(net), "-", "--out", str(out)]
    told = tmp_path / "told"
    # a fork is there at once, and has one thread, as this process has by now
    process = get_context("fork").Process(
        target=command, args=(arguments, tmp_path / "names", told), daemon=True
    )
    process.start()
    while not state.exists() and process.is_alive():
        time.sleep(0.01)
    os.kill(process.pid or 0, how)
    process.join(PATIENCE)
    assert process.exitcode == (1 if how is signal.SIGINT else -how), told.read_text()
    done = json.loads(state.read_text())["rows"]
    assert 0 < done < len(names)
    if how is signal.SIGINT:
        assert f"{done} images are done: the same command, and the same list," in told.read_text()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    outcome = convgraft(*arguments)
    assert f"goes on after {done} images" in outcome.err
    assert [json.loads(line)["file"] for line in out.read_text().splitlines()] == names
    assert not state.parent.exists()
