"""`--jobs N` and `--ray [ADDRESS]`: the same results by other processes, and wrong use told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import convgraft

from convgraft.cli.jobs import Spreading, read_spreading, with_ray, working
from convgraft.errors import UsageError

TINY = "python:helpers:Tiny"
NETWORKS = ("--models", TINY, TINY, "--image-size", 8, "--batch-size", 10)
COMPARE = ("compare", "digits", *NETWORKS, "--augment", "none", "--limits", 20, "--epochs", 1)
ARMS = ("--strategies", "cross-skip", "ladder", "--baselines", "finetune")
MEASURED = ("seconds", "frozen_images", "latency", "crc32", "estimated")


def lines_in(path: Path) -> list[dict[str, Any]]:
    """Lines without what a clock says."""
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    return [{k: v for k, v in one.items() if not k.startswith(MEASURED)} for one in lines]


def test_a_comparison_by_two_processes_is_the_same_and_goes_on_in_one(tmp_path: Path) -> None:
    folders = tmp_path / "one" / "joins", tmp_path / "two" / "joins"
    for folder, more in zip(folders, ((), ("--jobs", 2)), strict=True):
        outcome = convgraft(*COMPARE, *ARMS, *more, "--out", folder)
        assert outcome.code == 0, outcome.err
    one, two = (lines_in(folder / "results.jsonl") for folder in folders)
    assert one == two and len(one) == 5
    files = [{p.relative_to(folder) for p in folder.rglob("*")} for folder in folders]
    assert files[0] == files[1]
    later = convgraft("compare", folders[1] / "study.yaml", "--jobs", 1)
    assert later.code == 0 and "going on with the 5 results" in later.err
    assert lines_in(folders[1] / "results.jsonl") == two


@pytest.mark.slow
def test_a_search_of_two_processes_finds_the_same_each_time(tmp_path: Path) -> None:
    command = ("search", "digits", *NETWORKS, "--limit", 60, "--minutes", 30, "--trials", 15)
    for name in "ab":
        outcome = convgraft(*command, "--jobs", 2, "--out", tmp_path / name)
        assert outcome.code == 0, outcome.err
        assert (tmp_path / name / "best" / "metrics.json").is_file()
    first, second = (lines_in(tmp_path / name / "trials.jsonl") for name in "ab")
    assert first == second
    kinds = [line["kind"] for line in first]
    assert kinds.count("frozen") >= 4 and len(kinds) >= 6
    again = convgraft(*command, "--out", tmp_path / "a", "--json")
    assert again.code == 0 and json.loads(again.out)["trials"] == len(first)


@pytest.mark.slow
def test_the_arms_of_a_row_of_the_paper_are_trained_by_two_processes(tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "studies" / "paper"))
    from helpers_paper import write_sets

    data = write_sets(tmp_path / "sets")
    command = ("reproduce", "table3", "--rows", "table3-3", "--scale", "smoke", "--seeds", 1)
    outcome = convgraft(*command, "--data", data, "--jobs", 2, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "table3-3 is done: 100 % of everything" in outcome.err
    (found,) = (tmp_path / "out").rglob("results.jsonl")
    lines = lines_in(found)
    assert len(lines) == 11 and not any("failed" in line for line in lines)
    assert not (found.parent / "state").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--jobs", 2, "--ray", "auto"), "--jobs and --ray both say"),
        (("--cpus-per-arm", 2), "--cpus-per-arm is for Ray"),
        (("--gpus-per-arm", 1), "--gpus-per-arm has no meaning here"),
        (("--ray", "auto", "--cpus-per-arm", 0), "--cpus-per-arm is above 0"),
        (("--jobs", 2, "--gpus-per-arm", 1.5), "--gpus-per-arm cannot be read"),
        (("--jobs", 0), "--jobs"),
    ],
)
def test_wrong_use_is_told_before_any_work(
    options: tuple[object, ...], said: str, tmp_path: Path
) -> None:
    for command in (
        ("study", "ladder", "digits", *NETWORKS),
        (*COMPARE, *ARMS),
        ("search", "digits", *NETWORKS),
        ("reproduce", "table3"),
    ):
        outcome = convgraft(*command, *options, "--out", tmp_path / "out")
        assert outcome.code == 2
        assert said in outcome.err
        assert not (tmp_path / "out").exists()


def test_an_address_is_asked_before_anything_is_trained(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    outcome = convgraft(*COMPARE, *ARMS, "--ray", "nowhere", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "the address of a Ray cluster cannot be read" in outcome.err


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = convgraft(*COMPARE, *ARMS, "--ray", "auto", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "pip install convgraft[ray]" in outcome.err
    assert not (tmp_path / "out").exists()


def test_ray_without_an_address_is_this_machine() -> None:
    assert with_ray(["study", "--ray", "--json"]) == ["study", "--ray", "local", "--json"]
    assert with_ray(["study", "--ray"]) == ["study", "--ray", "local"]
    assert with_ray(["study", "--ray", "auto"]) == ["study", "--ray", "auto"]


def test_one_job_is_this_process() -> None:
    for asked in (Spreading(), read_spreading(1, None, None, None)):
        with working(asked) as workers:
            assert workers is None
    with pytest.raises(UsageError):
        read_spreading(None, None, 1, None)
