"""Comparisons of any designs, with baselines that are as dear, taught by the vote, or random."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convgraft.compose import compose, cost
from convgraft.data import open_images, split_images
from convgraft.durable.lines import read_config
from convgraft.errors import ArtifactError, UsageError
from convgraft.sources import Source, source
from convgraft.strategies import Ingredients
from convgraft.studies import (
    Cell,
    Entry,
    Study,
    StudyStore,
    average_of,
    compare_arms,
    entries,
    failures,
    run_study,
    study_of,
    taking,
    with_sides,
)
from convgraft.studies.design_text import read_design
from convgraft.studies.distilled import as_source
from convgraft.studies.equal_cost import spent
from convgraft.studies.growth import claim_growing
from convgraft.studies.rivals import as_dear
from convgraft.training import FitOptions, Task
from helpers import Tiny

IMAGES = open_images("digits")
CELLS = (Cell(30, 0),)
SOURCES = {name: source(Tiny(classes=10, seed=seed)) for seed, name in enumerate("ab")}
GIVEN = Ingredients(SOURCES, 8, 10)
NAMED = {name: source("python:helpers:Tiny", seed=seed) for seed, name in enumerate("ab")}
OPTIONS = FitOptions(epochs=1, batch_size=10)


def study(*arms: str, **more: Any) -> Study:
    return study_of("tiny", "which?", [read_design(arm) for arm in arms], **more)


def planned(one: Study, given: Ingredients = GIVEN) -> dict[str, Entry]:
    return {entry.name: entry for entry in entries(one, taking(one, given))}


def run(
    one: Study, folder: Path, options: FitOptions = OPTIONS, report: Any = None
) -> list[dict[str, Any]]:
    def open_cell(cell: Cell) -> tuple[Task, Ingredients]:
        split = split_images(IMAGES, seed=cell.seed, limit=cell.limit)
        small = replace(split, val=split.val[:40], test=split.test[:40])
        return Task(IMAGES, small, 8), GIVEN

    store = StudyStore.claim(folder, {"n": 1})
    return run_study(one, CELLS, open_cell, lambda cell: options, store, report or quiet)


def quiet(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StudyStore:
    folder = tmp_path_factory.mktemp("compare") / "study"
    baselines = ("distilled", "equal-cost")
    found = run(study("cross-skip", "ladder", baselines=baselines), folder)
    assert failures(found) == []
    assert not (folder / "state").exists()
    return StudyStore.claim(folder, {"n": 1})


@pytest.fixture(scope="module")
def lines(store: StudyStore) -> Mapping[str, dict[str, Any]]:
    return {line["arm"]: line for line in store.lines}


def test_every_baseline_that_applies_is_there_by_default() -> None:
    found = planned(study("cross-skip", "stitch:loss=mse"), replace(GIVEN, sources=NAMED))
    assert [name for name, entry in found.items() if entry.kind == "join"] == [
        "cross-skip", "stitch-mse",
    ]  # fmt: skip
    assert {name for name, entry in found.items() if entry.kind != "join"} == {
        *("probe-a", "probe-b", "finetune-a", "finetune-b", "average-probe", "average-finetune"),
        *("distilled-a", "distilled-b", "equal-cost-a", "equal-cost-b"),
        "stitch-mse-random-front",
    }
    assert found["stitch-mse-random-front"].kind == "control"


def test_one_network_has_no_average_and_nobody_to_learn_from() -> None:
    alone = replace(GIVEN, sources={"a": SOURCES["a"]})
    found = planned(study("ladder"), alone)
    assert set(found) == {"ladder", "probe-a", "finetune-a", "equal-cost-a"}


def test_the_random_front_is_the_stitch_from_another_front() -> None:
    cut = study("stitch:loss=mse,name=cut", freeze="all")
    found = planned(cut, replace(GIVEN, sources=NAMED))
    arm, control = found["cut"].arm, found["cut-random-front"].arm
    assert arm is not None and control is not None
    assert (str(arm.plan.wires), str(arm.loss)) == (str(control.plan.wires), str(control.loss))
    assert arm.policy == control.policy
    assert control.sources["b"] is NAMED["b"]
    assert control.sources["a"] is not NAMED["a"] is arm.sources["a"]
    assert "cut-random-front" not in planned(cut)  # what was made in Python cannot be made anew


def test_images_are_the_smallest_at_which_a_network_costs_what_the_dearest_join_does() -> None:
    one = with_sides(study("cross-skip", "ladder"), GIVEN)
    assert one.sides is not None
    joins = [entry.arm for entry in entries(one, GIVEN) if entry.kind == "join" and entry.arm]
    dearest = max(map(spent, joins))
    for name, side in one.sides.items():
        arms = planned(one)[f"equal-cost-{name}"]
        assert arms.arm is not None
        assert (arms.image_size, arms.arm.plan.image_size) == (side.pixels, side.pixels)
        assert cost(compose(arms.arm.plan, arms.arm.sources)).macs == side.macs
        assert side.macs >= dearest == side.wanted and arms.note == ""
        smaller = replace(arms.arm.plan, image_size=side.pixels - 1)
        assert cost(compose(smaller, arms.arm.sources)).macs < dearest


def test_images_are_made_twice_as_large_at_most_and_a_note_says_so() -> None:
    thin = {"a": source(Tiny(classes=10, width=2)), "b": source(Tiny(classes=10, width=64))}
    found = planned(study("ensemble"), replace(GIVEN, sources=thin))
    assert found["equal-cost-a"].image_size == 16
    assert "at 16 pixels, 2 times its side, it has 0.0" in found["equal-cost-a"].note
    assert found["equal-cost-b"].image_size == 9  # the thin one adds little to its cost
    assert found["equal-cost-b"].note == ""


def test_a_network_that_costs_as_much_needs_no_larger_images() -> None:
    own = {"a": source(Tiny(classes=10), size=4), "b": SOURCES["b"]}
    cheap = planned(study("stitch:at=conv2,adapter=conv1x1"), replace(GIVEN, sources=own))
    assert [name for name in cheap if name.startswith("equal-cost")] == ["equal-cost-a"]
    assert 4 < (cheap["equal-cost-a"].image_size or 0) <= 8


def test_some_arms_bring_those_that_they_are_made_of() -> None:
    some = planned(study("cross-skip", "ladder", only=("ladder", "distilled-b")))
    assert list(some) == ["ladder", "finetune-a", "finetune-b", "distilled-b"]


def test_wrong_words_and_double_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no baseline") as told:
        study("ladder", baselines=["distiled"])
    assert told.value.hint == "did you mean distilled?"
    with pytest.raises(UsageError, match='two arms are called "ladder"'):
        study("ladder", "ladder")
    with pytest.raises(UsageError, match="nothing to compare"):
        study()


def test_baselines_are_those_that_were_asked_for_and_what_they_need() -> None:
    assert study("ladder", baselines=["distilled"]).baselines == ("finetune", "distilled")
    assert set(planned(study("ladder", baselines=["probe"]))) == {
        *("ladder", "probe-a", "probe-b", "average-probe"),
    }


def test_arms_at_another_size_and_taught_ones_are_trained_and_tested(
    lines: Mapping[str, dict[str, Any]],
) -> None:
    larger, join = lines["equal-cost-a"], lines["cross-skip"]
    assert larger["image_size"] > 8 and "image_size" not in join
    assert larger["macs"] >= max(join["macs"], lines["ladder"]["macs"])
    assert larger["test"]["images"] == join["test"]["images"] == 40
    taught, tuned = lines["distilled-a"], lines["finetune-a"]
    assert (taught["macs"], taught["parameters"]) == (tuned["macs"], tuned["parameters"])
    assert "distil(label, teacher)" in taught["loss"] and "task(label)" in taught["loss"]
    assert (taught["kind"], taught["baseline"]) == ("baseline", "distilled")
    assert not any("epochs_trained" in line for line in lines.values())


def test_the_teachers_answer_together_as_the_average_vote_does() -> None:
    arms = [e.arm for e in planned(study("ladder")).values() if e.baseline == "finetune" and e.arm]
    members = {next(iter(arm.sources)): compose(arm.plan, arm.sources).eval() for arm in arms}
    entry = planned(study("ladder"))["distilled-b"]
    assert entry.taught is not None
    arm = entry.taught(members)
    network = compose(arm.plan, arm.sources).eval()
    images = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        said = network(images)
        vote = average_of(GIVEN, "finetune", members)(images)["label"]
    assert torch.allclose(said["teacher"].softmax(1), vote.softmax(1), atol=1e-6)
    assert set(arm.loss.teachers if arm.loss else ()) == {"a_teacher", "b_teacher"}
    assert arm.plan.source("b") is not None and arm.sources["b"] is SOURCES["b"]


def test_a_trained_network_is_a_source_with_the_same_answers() -> None:
    arm = planned(study("ladder"))["finetune-a"].arm
    assert arm is not None
    member = compose(arm.plan, arm.sources, seed=3).eval()
    opened: Source = as_source(member)
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(opened.module.eval()(images), member(images)["label"])
    assert (opened.classes, opened.image_size) == (10, 8)


class KilledError(BaseException):
    """As KeyboardInterrupt: no failure of the arm that is being trained."""


def test_a_killed_study_goes_on_with_the_same_teachers(
    lines: Mapping[str, dict[str, Any]], tmp_path: Path
) -> None:
    def die(what: str, done: int, total: int) -> None:
        if what.startswith("distilled-b"):
            raise KilledError

    one = study("ladder:head=ridge", baselines=["distilled"])
    with pytest.raises(KilledError):
        run(one, tmp_path / "study", report=die)
    again = {line["arm"]: line for line in run(one, tmp_path / "study")}
    measured = ("seconds", "frozen_images", "latency")
    for name in ("distilled-a", "distilled-b"):
        ours, theirs = (
            {k: v for k, v in x[name].items() if k not in measured} for x in (again, lines)
        )
        assert ours == theirs


def line(arm: str, baseline: str = "", *, macs: int, val: float) -> dict[str, Any]:
    kind = "baseline" if baseline else "join"
    place = {"cell": "all-0", "limit": None, "seed": 0, "arm": arm, "kind": kind}
    return {**place, "baseline": baseline, "macs": macs, "val": val, "test": {"top1": 0.5}}


def test_the_rival_of_equal_cost_is_the_best_network_of_at_least_a_joins_cost() -> None:
    tuned = [line("finetune-a", "finetune", macs=9, val=0.9)]
    larger = [line("equal-cost-b", "equal-cost", macs=10, val=0.8)]
    joins = [line("cheap", macs=9, val=0.1), line("dear", macs=10, val=0.1)]
    everything = [*tuned, *larger, *joins]
    assert [one["arm"] for one in as_dear(everything, "cheap")] == ["finetune-a"]
    assert [one["arm"] for one in as_dear(everything, "dear")] == ["equal-cost-b"]
    assert as_dear([*tuned, *joins], "cheap") == []


def test_joins_are_compared_with_it_where_it_is_there(store: StudyStore) -> None:
    found = compare_arms(store.lines, store.predictions)
    rivals = ["average vote", "best single", "best equal-cost", "best distilled"]
    assert [one.against for one in found] == [name for name in rivals for _ in range(2)]
    without = [one for one in store.lines if one["baseline"] != "equal-cost"]
    assert compare_arms(without, store.predictions) == [*found[:4], *found[6:]]


def test_a_budget_gives_every_arm_as_many_epochs_as_fit(tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=3, budget_seconds=1e-3)
    one = study("cross-skip", "ladder:head=ridge", baselines=["finetune"])
    found = {line["arm"]: line for line in run(one, tmp_path / "study", options)}
    assert found["cross-skip"]["epochs_trained"] == 1
    assert found["cross-skip"]["epochs"] == 3
    assert {line["budget_seconds"] for line in found.values()} == {1e-3}
    assert found["ladder-ridge"]["epochs_trained"] == 0  # solved in closed form
    assert "epochs_trained" not in found["average-finetune"]


def test_arms_may_be_added_and_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    claim_growing(folder, {"n": 1, "arms": {"x": ["plan", 1], "y": ["plan", 2]}})
    claim_growing(folder, {"n": 1, "arms": {"y": ["plan", 2], "z": ("plan", 3)}})
    kept = json.loads((folder / "study.json").read_text())
    assert kept.pop("crc32")
    assert kept == {"n": 1, "arms": {"x": ["plan", 1], "y": ["plan", 2], "z": ["plan", 3]}}
    with pytest.raises(ArtifactError, match=r"the arm y in .* would be another"):
        claim_growing(folder, {"n": 1, "arms": {"y": ["plan", 9]}})
    with pytest.raises(ArtifactError, match="another study") as told:
        claim_growing(folder, {"n": 2, "arms": {"x": ["plan", 1]}})
    assert "n" in (told.value.found or "")
    assert read_config(folder / "study.json") == kept
