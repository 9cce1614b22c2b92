"""`convgraft explain --frontier`, as a user reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import convgraft

from convgraft.cache import DTYPES, Cache, RowType
from convgraft.compose import cost
from convgraft.data import open_images, split_images
from convgraft.opening import compile_plan
from convgraft.plan import read_plan
from convgraft.training import FitOptions, Task, fit, read_policy

PLAN = """\
image_size: 8
sources:
  a: cifar_resnet20
  b: cifar_resnet20
heads:
  label: {kind: linear, from: [a:flatten, b:layer3], classes: 10}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def told(*arguments: object) -> list[dict[str, Any]]:
    outcome = convgraft("explain", *arguments, "--frontier", "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_the_values_are_those_that_a_fit_stores(plan: Path, tmp_path: Path) -> None:
    (stage,) = told(plan, "--images", 500)
    images = open_images("digits")
    task = Task(
        images, split_images(images, seed=0, limit=40), 8, cache=Cache(tmp_path / "store", 2**30)
    )
    options = FitOptions(epochs=1, augment="none", accelerator="cpu")
    fit(compile_plan(read_plan(plan)), task, read_policy("heads-only"), options)
    assert task.cache
    kept = {entry.facts["what"]: entry for entry in task.cache.entries()}
    for value in stage["values"]:
        assert kept[value["what"]].shape == tuple(value["shape"])
        assert kept[value["what"]].dtype == "float32"
    assert [value["sources"] for value in stage["values"]] == [["a"], ["b"]]
    assert [value["pooled"] for value in stage["values"]] == [True, True]
    assert stage["policy"] == "heads-only"
    assert not stage["reads_pixels"]


def test_bytes_errors_and_macs(plan: Path) -> None:
    (stage,) = told(plan)
    found = {row["stored_as"]: row for row in stage["precisions"]}
    assert {name: row["bytes"] for name, row in found.items()} == {
        "float32": 512,
        "bfloat16": 256,
        "float16": 256,
        "int8": 2 * (64 + 4),
    }
    assert set(found) == set(DTYPES) - {"uint8"}
    assert all(row["error"] == RowType((1,), name).error for name, row in found.items())
    assert sum(value["bytes"] for value in stage["values"]) == 512
    spent = cost(compile_plan(read_plan(plan)))
    assert stage["macs_once"] + stage["macs_again"] == spent.macs
    assert stage["macs_again"] == 128 * 10
    assert stage["factor"] == pytest.approx(spent.macs / 1280)


def test_words_for_many_images_in_several_views(plan: Path) -> None:
    outcome = convgraft("explain", plan, "--frontier", "--images", 1000, "--views", 4)
    assert outcome.code == 0, outcome.err
    assert "MiB for 1,000 images in 4 views" in outcome.out
    rows = [line.split("\u2502") for line in outcome.out.splitlines() if "float32  " in line]
    assert [cell.strip() for cell in rows[0][2:4]] == ["512", f"{512 * 4000 / 2**20:.1f}"]
    lines = outcome.out.splitlines()
    assert "1,280 MACs are left in the forward pass of a step: 3,987 times less." in lines


def test_every_phase_of_a_policy_and_why_nothing_is_stored(plan: Path) -> None:
    first, upper, last = told(plan, "--freeze", "gradual")
    assert first["values"]
    assert first["reason"] is None
    assert upper["values"]
    assert 0 < upper["macs_once"] < first["macs_once"]
    assert "no layer is frozen" in last["reason"]
    assert last["pixel_bytes"] == 3 * 8 * 8
    outcome = convgraft("explain", plan, "--frontier", "--freeze", "all")
    assert "nothing is stored: no layer is frozen from the image on." in outcome.out
    assert "A step reads 192 bytes of decoded pixels an image" in outcome.out


def test_what_is_quicker_computed_than_read_is_not_stored(plan: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("'**': 1\n'a:conv1': frozen\n'a:bn1': frozen\n")
    (stage,) = told(plan, "--freeze", policy)
    assert not stage["values"]
    assert stage["reason"] == "to compute what is frozen takes less time than to read it"


def test_what_learns_may_read_pixels_too(plan: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("'**': frozen\n'b:**': 1\nheads: 1\n")
    (stage,) = told(plan, "--freeze", policy)
    assert [value["sources"] for value in stage["values"]] == [["a"]]
    assert stage["reads_pixels"]
    outcome = convgraft("explain", plan, "--frontier", "--freeze", policy)
    assert "of decoded pixels an image (1.8 MiB for all) as well." in outcome.out


def test_no_room(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVGRAFT_CACHE_LIMIT", "1MB")
    (stage,) = told(plan, "--images", 100_000)
    assert stage["reason"] == "what is worth storing does not fit in 5 bytes an image"


def test_a_run_has_its_own_policy(run: Path) -> None:
    (stage,) = told(run)
    assert stage["policy"] == "discriminative"
    assert stage["reason"]
    (frozen,) = told(run, "--freeze", "heads-only")
    assert frozen["values"]


def test_one_question_at_a_time(plan: Path) -> None:
    outcome = convgraft("explain", plan, "--frontier", "--gradients")
    assert outcome.code == 2
    assert "one at a time" in outcome.err
