"""`convgraft match A B`: what fits, what stitches cost, and the plan that comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import Outcome, convgraft
from PIL import Image

from convgraft.plan import read_plan

SMALL = ("--data", "digits", "--image-size", 8, "--limit", 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("match")


@pytest.fixture(scope="module")
def found(folder: Path, weights: Path) -> dict[str, Any]:
    """A network matched with itself, everything written."""
    outcome = convgraft(
        "match", f"cifar_resnet20@{weights}", f"cifar_resnet20@{weights}", *SMALL,
        "--taps", "layer?", "--stitches", 1, "--json",
        "--out", folder / "out", "--plan", folder / "plan.yaml",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_a_network_matched_with_itself_is_paired_tap_by_tap(found: dict[str, Any]) -> None:
    names = [tap["name"] for tap in found["networks"][0]["taps"]]
    assert [(pair["left"], pair["right"]) for pair in found["pairs"]] == [(n, n) for n in names]
    for number, row in enumerate(found["cka"]):
        assert row[number] == pytest.approx(1, abs=1e-6)
        assert row[number] == max(row)
    assert all("scores best of" in pair["why"] for pair in found["pairs"])
    assert found["images"] == 60
    assert found["held_out"] == 12


def test_its_stitches_lose_nothing(found: dict[str, Any]) -> None:
    assert len(found["stitches"]) == 4
    for stitch in found["stitches"]:
        assert abs(stitch["points"]) < 100 / 12 + 1e-6
        assert stitch["images"] == 12
        assert stitch["r2"] > 0.9


def test_the_report_lies_in_its_folder(found: dict[str, Any], folder: Path) -> None:
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == {
        "heatmap.png", "heatmap.svg", "match.json", "match.md",
    }  # fmt: skip
    kept = json.loads((out / "match.json").read_text())
    assert kept == {key: value for key, value in found.items() if key != "files"}
    assert set(found["files"]) == {*map(str, out.iterdir()), str(folder / "plan.yaml")}


def test_the_plan_is_two_way_over_the_pairs(found: dict[str, Any], folder: Path) -> None:
    plan = read_plan(folder / "plan.yaml")
    assert len(plan.wires) == 2 * len(found["pairs"])
    assert {(w.join, w.adapter, w.start) for w in plan.wires} == {("add", "ridge", "zero")}
    explained = convgraft("explain", folder / "plan.yaml")
    assert explained.code == 0, explained.err


def test_people_read_it_without_colour(weights: Path, folder: Path) -> None:
    outcome = convgraft(
        "match", f"cifar_resnet20@{weights}", "cifar_resnet20", *SMALL, "--taps", "layer2*",
        "--stitches", 1, "--many-to-one", "--plan-kind", "stitch", "--plan", folder / "stitch.yaml",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "CKA in hundredths: a down, b across" in outcome.out
    assert "what each stitch is predicted to cost" in outcome.out
    assert f"convgraft explain {folder / 'stitch.yaml'}" in outcome.err
    assert "stitches, chosen on 12 images" in outcome.err
    plan = read_plan(folder / "stitch.yaml")
    assert [(w.join, w.adapter, w.start) for w in plan.wires] == [("replace", "ridge", "one")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cifar_resnet20", *SMALL), "two networks are matched"),
        (("cifar_resnet20", "cifar_resnet32", "custom16", *SMALL), "two networks are matched"),
        (("cifar_resnet20", "cifar_resnet20", *SMALL, "--limit", 15), "too few training images"),
        (("cifar_resnet20", "cifar_resnet20", *SMALL, "--taps", "nothing*"), "selects no tap"),
        (
            ("cifar_resnet20", "cifar_resnet20", *SMALL, "--taps", "a:layer1, b:flatten"),
            "is near any of the other",
        ),
        (("cifar_resnet20", "cifar_resnet20", *SMALL, "--positions", "few"), "a number or all"),
        (("cifar_resnet20", "cifar_resnet20", *SMALL, "--plan-kind", "stich"), "did you mean"),
        (("cifar_resnet20", "no_such", *SMALL), "no_such"),
        (("cifar_resnet20", "cifar_resnet20", "--data", "nowhere"), "nowhere"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[object, ...], told: str) -> None:
    outcome = convgraft("match", *arguments)
    assert outcome.code == 2
    assert told in outcome.err


def test_a_limit_below_the_classes_is_told_as_one_below_twenty_is(tmp_path: Path) -> None:
    for name in (f"{number:02}" for number in range(25)):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (8, 8), (10 * int(name), 60 * number, 0)).save(
                tmp_path / name / f"{number}.png"
            )
    for limit in (5, 22):
        outcome = convgraft(
            "match", "cifar_resnet20", "cifar_resnet20", "--data", tmp_path, "--limit", limit
        )
        assert outcome.code == 2
        assert "too few training images" in outcome.err
        assert "25 at least, one for each class" in outcome.err
        assert f"found: {limit}" in " ".join(outcome.err.split())


def test_no_file_is_written_over_unasked(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("mine")
    networks = ("cifar_resnet20", "cifar_resnet20", *SMALL)

    def refused(*more: object) -> Outcome:
        outcome = convgraft("match", *networks, *more)
        assert outcome.code == 2
        return outcome

    assert "is there already" in refused("--plan", plan).err
    assert "is a file" in refused("--out", plan).err
    assert "is a folder" in refused("--plan", tmp_path).err
    stitch = ("--plan", tmp_path / "new.yaml", "--plan-kind", "stitch", "--stitches", 0)
    assert "needs stitches that are run" in refused(*stitch).err
    assert plan.read_text() == "mine"
