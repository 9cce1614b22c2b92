"""`--stream`, and what opening tells: no command keeps decoded images that was asked not to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_cli import convgraft
from PIL import Image

from convgraft.cli import opening, search_bench, search_steps
from convgraft.cli.evaluate import _pixels, _relabelled
from convgraft.data import Pixels, Streamed, load_pixels, open_images
from convgraft.studies.search import Ceiling, Rules
from convgraft.training import FitOptions, Task, task

TINY = "python:helpers:Tiny"
SMALL = ("--image-size", 8, "--batch-size", 10, "--augment", "none")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images were decoded to be kept, each time."""
    found: list[int] = []
    cached = task.cached_pixels

    def noted(*given: Any, **more: Any) -> Pixels:
        found.append(len(more["indices"]))
        return cached(*given, **more)

    monkeypatch.setattr(task, "cached_pixels", noted)
    return found


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (folder / "results.jsonl").read_text().splitlines()]


COMPARE = (
    "compare", "digits", "--models", TINY, TINY, *SMALL, "--baselines", "random-front",
    "--strategies", "parallel:freeze=all", "--limits", 20, "--epochs", 1,
)  # fmt: skip


def test_compare_streams_where_it_is_told_to(tmp_path: Path, kept: list[int]) -> None:
    out = tmp_path / "joins"
    outcome = convgraft(*COMPARE, "--stream", "--out", out)
    assert outcome.code == 0, outcome.err
    assert kept == []
    lines = lines_in(out)
    assert lines and not any("failed" in line for line in lines)
    assert json.loads((out / "study.json").read_text())["stream"] is True
    without = convgraft("compare", out / "study.yaml")  # epochs would have another order
    assert without.code == 2 and "stream" in without.err
    again = convgraft("compare", out / "study.yaml", "--stream")
    assert again.code == 0, again.err


def test_compare_keeps_images_where_it_is_not(tmp_path: Path, kept: list[int]) -> None:
    outcome = convgraft(*COMPARE, "--out", tmp_path / "joins")
    assert outcome.code == 0, outcome.err
    assert kept


def test_a_study_streams_where_it_is_told_to(tmp_path: Path, kept: list[int]) -> None:
    outcome = convgraft(
        "study", "co-learning", "digits", "--models", TINY, TINY, *SMALL, "--limits", 20,
        "--epochs", 2, "--freeze", "all", "--only", "finetune-a", "--stream",
        "--out", tmp_path / "co",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert kept == [] and not any("failed" in line for line in lines_in(tmp_path / "co"))


def test_a_search_streams_where_it_is_told_to_and_so_do_its_workers() -> None:
    rules = Rules(0.1, Ceiling(None, None), 1, FitOptions())
    for stream in (False, True):
        asked = ("digits", (TINY, TINY), 8, None, 20, rules, False, stream)
        setting = search_steps.open_setting(*asked)
        made: list[Task] = [setting.task(None)]
        made.append(search_bench.open_bench(*asked, setting.images.fingerprint).task)
        assert [one.streams("train") for one in made] == [stream, stream]


def five_classes(folder: Path) -> Path:
    """As many as `Tiny` knows."""
    rng = np.random.default_rng(0)
    for name in "abcde":
        (folder / name).mkdir(parents=True)
        for number in range(6):
            noise = rng.integers(0, 256, (9, 9, 3), np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("broken", [False, True])
def test_evaluate_says_the_same_of_streamed_images(tmp_path: Path, broken: bool) -> None:
    folder = five_classes(tmp_path / "pictures")
    if broken:
        (folder / "b" / "3.png").write_bytes(b"no picture")
    command = ("evaluate", TINY, folder, "--image-size", 8, "--batch-size", 7, "--json")
    told, streamed = convgraft(*command), convgraft(*command, "--stream")
    assert told.code == streamed.code == 0, streamed.err
    # without a broken one batches are others, and so are roundings
    near = {"rel": 1e-6} if broken else {"rel": 0, "abs": 0}
    ours, theirs = json.loads(streamed.out), json.loads(told.out)
    for name in ("nll", "ece"):
        assert ours.pop(name) == pytest.approx(theirs.pop(name), **near)
    assert ours == theirs
    assert json.loads(streamed.out)["images"] == 30 - broken
    assert ("left out: b/3.png" in streamed.err) == broken


@pytest.mark.parametrize("streams", [False, True])
def test_labels_are_numbered_as_the_run_numbers_them(streams: bool) -> None:
    images = open_images("digits")
    order = [3, 1, 2, 0, *range(4, 10)]
    images = replace(images, streams=streams)
    found = _pixels(_relabelled(images, {"": order}), 8, [5, 3, 0], False, lambda *told: None)
    assert isinstance(found, Streamed) == streams
    assert found.labels.tolist() == [order[images.labels[row]] for row in (5, 3, 0)]
    same = load_pixels(images, 8, indices=[5, 3, 0])
    assert np.array_equal(found.images[:3].numpy(), same.images.numpy())


def test_what_is_kept_is_said_where_reading_headers_is_stopped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(what: str) -> Callable[[opening.Report], None]:
        def work(report: opening.Report) -> None:
            report(what, 1, 9)
            raise KeyboardInterrupt

        return work

    with pytest.raises(KeyboardInterrupt):
        opening.opened(stopped("read headers of shards (MiB)"))
    assert "known from now on" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        opening.opened(stopped("read footers"))
    assert "known" not in capsys.readouterr().err
