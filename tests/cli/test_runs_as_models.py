"""Runs as models of another fit: no test image that they know, no class under another number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers_cli import Outcome, convgraft

from convgraft.cli.fit_checks import check_data
from convgraft.cli.fit_steps import open_models, other_columns
from convgraft.cli.own_classes import check_own_answers, own_labels
from convgraft.cli.runs_as_models import Learned, check_unseen, recorded_split, runs_among
from convgraft.data import ImageSet, Split, open_images, split_images, write_split
from convgraft.errors import UsageError
from convgraft.opening import open_sources
from convgraft.plan import read_plan
from convgraft.strategies import STRATEGIES
from convgraft.studies import Design, arm_of_plan

NET = "cifar_resnet20"
SMALL = ("--image-size", 8, "--limit", 40, "--epochs", 1, "--augment", "none")
MAP = "even: {'0': y, '1': n, '2': y, '3': n, '4': y, '5': n, '6': y, '7': n, '8': y, '9': n}\n"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits, split with seed 0."""
    out = tmp_path_factory.mktemp("runs") / "taught"
    outcome = fit(NET, "--strategy", "probe", out=out)
    assert outcome.code == 0, outcome.err
    return out


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    return open_images("digits")


def fit(*given: object, out: Path, models: bool = True) -> Outcome:
    return convgraft("fit", "digits", *(["--models"] if models else []), *given, *SMALL,
                     "--out", out)  # fmt: skip


def refused(outcome: Outcome, out: Path, *said: str) -> None:
    assert outcome.code == 2, outcome.err
    for part in said:
        assert part in outcome.err
    assert not out.exists()


def with_labels(run: Path, folder: Path, labels: list[str]) -> Path:
    copy = shutil.copytree(run, folder)
    (copy / "labels.json").write_text(json.dumps({"classes": labels}))
    return copy


def plan_file(folder: Path, network: object, head: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(f"image_size: 8\nsources: {{a: {network}}}\nheads: {{label: {head}}}\n")
    return path


LINEAR = "{kind: linear, from: [a:features]}"


@pytest.mark.parametrize("spec", ["{run}", NET + "@{run}", NET + "@{run}#a", "run:{run}"])
def test_a_run_may_not_be_tested_on_what_it_has_learned(
    spec: str, taught: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = fit(spec.format(run=taught), "--strategy", "probe", "--seed", 1, out=out)
    refused(outcome, out, "of the 359 test images", "--seed 0, which the run was made with")


def test_the_number_of_known_test_images_is_told(
    taught: Path, digits: ImageSet, tmp_path: Path
) -> None:
    recorded = recorded_split(taught, digits)
    assert recorded is not None
    known = {*recorded.train, *recorded.val}
    count = sum(index in known for index in split_images(digits, seed=1).test)
    outcome = fit(taught, "--strategy", "probe", "--seed", 1, out=tmp_path / "out")
    assert f"{taught} has learned from {count} of" in outcome.err


def test_a_plan_may_not_either(taught: Path, tmp_path: Path) -> None:
    plan, out = plan_file(tmp_path, f"{NET}@{taught}", LINEAR), tmp_path / "out"
    refused(fit("--plan", plan, "--seed", 1, out=out, models=False), out, "has learned from")


def test_the_seed_of_the_run_is_welcome(taught: Path, tmp_path: Path) -> None:
    outcome = fit(taught, "--strategy", "probe", "--seed", 0, out=tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "validation images" not in outcome.err


def test_runs_of_two_splits_have_no_seed_in_common(
    taught: Path, digits: ImageSet, tmp_path: Path
) -> None:
    other, out = shutil.copytree(taught, tmp_path / "other"), tmp_path / "out"
    write_split(other / "split.csv", digits, split_images(digits, seed=3))
    outcome = fit(taught, other, "--strategy", "parallel", "--seed", 3, out=out)
    refused(outcome, out, f"{taught} has learned from", "try: images that the run has not learned")


def test_other_label_columns_do_not_hide_it(taught: Path, tmp_path: Path) -> None:
    labels, out = tmp_path / "map.yaml", tmp_path / "out"
    labels.write_text(MAP)
    outcome = fit(taught, NET, "--strategy", "multitask", "--label-map", labels, "--seed", 1,
                  out=out)  # fmt: skip
    refused(outcome, out, "has learned from")
    several = open_images("digits", label_map=labels)
    assert recorded_split(taught, several) == recorded_split(taught, open_images("digits"))


def test_a_runs_other_arms_share_its_split(taught: Path, digits: ImageSet, tmp_path: Path) -> None:
    copy = shutil.copytree(taught, tmp_path / "copy")
    arm = shutil.copytree(taught, copy / "baselines" / "probe-a")
    (arm / "split.csv").unlink()
    given = open_models([f"{NET}@{arm}"], 8, digits, 0)
    (found,) = runs_among(given.sources, digits)
    assert found.split == recorded_split(taught, digits)


def test_other_images_and_plain_weights_are_nobodys_memory(
    taught: Path, pictures: Path, weights: Path, digits: ImageSet
) -> None:
    assert recorded_split(taught, open_images(str(pictures))) is None
    given = open_models([NET, f"{NET}@{weights}"], 8, digits, 0)
    assert runs_among(given.sources, digits) == []


def test_known_validation_images_are_told_and_not_refused(
    digits: ImageSet, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Learned("runs/x", Split((0, 1, 2), (3,), (8, 9), seed=0))
    check_unseen([run], digits, [Split((4,), (3, 5), (8,), seed=1)], str)
    assert capsys.readouterr().err == ""
    check_unseen([run], digits, [Split((4,), (2, 5), (8,), seed=1)] * 2, str)
    assert capsys.readouterr().err.count("runs/x was trained on some of the validation") == 1
    with pytest.raises(UsageError, match="has learned from 1 of the 2 test images"):
        check_unseen([run], digits, [Split((4,), (5,), (3, 8), seed=1)], str)


def test_a_study_checks_every_seed(taught: Path, tmp_path: Path) -> None:
    command = ("study", "ladder", "digits", "--models", taught, NET, "--image-size", 8,
               "--limits", 20, "--epochs", 1, "--only", "probe-a", "--out",
               tmp_path / "out")  # fmt: skip
    refused(convgraft(*command, "--seeds", 2), tmp_path / "out", "learned from", "--seeds 1: the")
    outcome = convgraft(*command, "--seeds", 1)
    assert outcome.code == 0, outcome.err


REVERSED = [str(number) for number in reversed(range(10))]
OTHERS = [*map(str, range(9)), "ten"]


@pytest.mark.parametrize(
    ("labels", "said"), [(REVERSED, "the same classes in another order"), (OTHERS, "different")]
)
@pytest.mark.parametrize(
    "chosen", [("--strategy", "distil"), ("--strategy", "stitch", "--classifier", "own")]
)
def test_a_runs_own_classifier_must_know_the_datas_classes(
    chosen: tuple[str, ...], labels: list[str], said: str, taught: Path, tmp_path: Path
) -> None:
    run, out = with_labels(taught, tmp_path / "run", labels), tmp_path / "out"
    outcome = fit(NET, run, *chosen, "--epochs", 2, out=out)
    refused(outcome, out, said, "expected: 0, 1, 2", f"found: {', '.join(labels)}")


def test_so_must_those_of_a_plan_and_of_a_study(taught: Path, tmp_path: Path) -> None:
    run, out = with_labels(taught, tmp_path / "run", REVERSED), tmp_path / "out"
    tap = next(one.name for one in open_models([str(run)], 8, open_images("digits"), 0)
               .surveys["a"].taps if one.kind == "logits")  # fmt: skip
    plan = plan_file(tmp_path, run, f'{{kind: identity, from: ["a:{tap}"]}}')
    refused(fit("--plan", plan, out=out, models=False), out, "another order")
    outcome = convgraft("study", "strategies", "digits", "--models", NET, run, "--image-size", 8,
                        "--epochs", 2, "--only", "distil", "--out", out)  # fmt: skip
    refused(outcome, out, "another order")


def test_a_new_head_or_the_right_classes_are_welcome(
    taught: Path, digits: ImageSet, tmp_path: Path
) -> None:
    run = with_labels(taught, tmp_path / "run", REVERSED)
    for spec, strategy in ((run, "parallel"), (taught, "distil"), (f"{NET}@{run}", "distil")):
        given = open_models([NET, str(spec)], 8, digits, 0)
        check_own_answers(STRATEGIES[strategy].write(given), given.sources, digits)
    given = open_models([NET, str(run)], 8, digits, 0)
    assert own_labels(given.sources["a"]) == ()
    assert own_labels(given.sources["b"]) == tuple(REVERSED)
    with pytest.raises(UsageError, match="another order"):
        check_own_answers(STRATEGIES["distil"].write(given), given.sources, digits)


@pytest.mark.parametrize("strategy", ["parallel", "probe", "cross-skip"])
def test_label_columns_are_for_multitask(strategy: str, tmp_path: Path) -> None:
    labels, out = tmp_path / "map.yaml", tmp_path / "out"
    labels.write_text(MAP)
    outcome = fit(NET, NET, "--strategy", strategy, "--label-map", labels, out=out)
    refused(outcome, out, "no answer for the label column even", "--strategy multitask")


def test_or_for_a_plan_that_answers_them(tmp_path: Path) -> None:
    labels, out = tmp_path / "map.yaml", tmp_path / "out"
    labels.write_text(MAP)
    plan = plan_file(tmp_path, NET, LINEAR)
    refused(fit("--plan", plan, "--label-map", labels, out=out, models=False), out, "column: even")
    plan = plan_file(
        tmp_path, NET, LINEAR + ", even: {kind: linear, from: [a:features], column: even}"
    )
    images = open_images("digits", label_map=labels)
    whole = read_plan(plan).with_classes(10, other_columns(images))
    sources = open_sources(whole)
    given = open_models([NET], 8, images, 0)
    arm = arm_of_plan(Design("plan"), whole, given)
    check_data(arm, sources, images, split_images(images, seed=0), planned=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--freeze", "gradual", "--epochs", 2), "too few"),
        (("--strategy", "stitch", "--epochs", 1), "too few"),
        (("--strategy", "stitch", "--freeze", "heads-only", "--loss", "mse"), "part in the loss"),
        (("--strategy", "parallel", "--freeze", "gradual", "--epochs", 2, "--baselines"),
         "too few"),
    ],
)  # fmt: skip
def test_stages_and_losses_are_checked_before_the_folder_is_taken(
    given: tuple[object, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageSet, "raw", lambda self, index: pytest.fail("an image was read"))
    out = tmp_path / "out"
    outcome = convgraft("fit", "digits", "--models", NET, NET, "--image-size", 8, *given,
                        "--out", out)  # fmt: skip
    refused(outcome, out, said)
