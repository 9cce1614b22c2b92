"""Predictions are kept, and say what the metrics say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from convgraft.cache import Cache
from convgraft.compose import compose
from convgraft.data import MISSING, ImageSet, open_images, split_images
from convgraft.errors import ArtifactError, RunError
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.studies import Design, Predictions, build_arm, measure_row
from convgraft.training import Task, measure
from helpers import Tiny

DIGITS = open_images("digits")


def unlabelled(images: ImageSet, index: int) -> ImageSet:
    labels = images.labels.copy()
    labels[index] = MISSING
    return replace(images, labels=labels)


def task_of(cache: Cache | None, images: ImageSet = DIGITS) -> Task:
    split = split_images(DIGITS, seed=0, limit=100)
    return Task(images, replace(split, val=split.val[:20], test=split.test[:40]), 8, cache=cache)


def probe(classes: int = 10) -> tuple[Ingredients, torch.nn.Module]:
    given = Ingredients({"a": source(Tiny(classes=classes))}, 8, classes)
    arm = build_arm(Design("probe"), given)
    return given, compose(arm.plan, arm.sources)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    chances = torch.rand(5, 3).softmax(1)
    wrote = Predictions(tuple("vwxyz"), torch.tensor([0, 1, 2, 1, 0]), chances, ("b", "g", "r"))
    path = tmp_path / "400-0" / "join.safetensors"
    wrote.save(path)
    with safe_open(path, "pt") as file:
        assert file.get_tensor("probabilities").dtype == torch.float16
        assert file.get_tensor("labels").dtype == torch.int64
    read = Predictions.load(path)
    assert (read.ids, read.classes) == (wrote.ids, wrote.classes)
    assert torch.equal(read.labels, wrote.labels)
    torch.testing.assert_close(read.probabilities, chances, rtol=1e-3, atol=1e-4)
    assert [entry.name for entry in path.parent.iterdir()] == ["join.safetensors"]


def test_16_bits_do_not_change_who_is_right(tmp_path: Path) -> None:
    """Probabilities that are equal in 16 bits keep their order."""
    rows = [[0.5 - 1e-9, 0.5 + 1e-9], [1e-9, 1 - 1e-9], [0.5, 0.5]]
    near = torch.tensor(rows, dtype=torch.float64)
    found = Predictions(("a", "b", "c"), torch.tensor([1, 1, 0]), near, ("x", "y"))
    found.save(tmp_path / "p.safetensors")
    read = Predictions.load(tmp_path / "p.safetensors")
    assert found.right.tolist() == read.right.tolist() == [True, True, True]


def test_metrics_of_probabilities_are_those_of_logits(tmp_path: Path) -> None:
    logits, labels = 3 * torch.randn(200, 4), torch.randint(0, 4, (200,))
    found = Predictions(tuple(map(str, range(200))), labels, logits.softmax(1), tuple("abcd"))
    found.save(tmp_path / "p.safetensors")
    ours, theirs = Predictions.load(tmp_path / "p.safetensors").metrics(), measure(logits, labels)
    assert (ours.top1, ours.balanced) == (theirs.top1, theirs.balanced)
    assert ours.nll == pytest.approx(theirs.nll, rel=1e-3)
    assert ours.ece == pytest.approx(theirs.ece, abs=2e-3)
    assert ours.error == pytest.approx(1 - theirs.top1)


def test_a_probability_of_zero_has_a_finite_price() -> None:
    found = Predictions(("a",), torch.tensor([1]), torch.tensor([[1.0, 0.0]]), ("x", "y"))
    assert found.metrics().nll == pytest.approx(24 * np.log(2), rel=1e-5)


def test_an_arms_row_is_that_of_its_predictions(tmp_path: Path) -> None:
    task, (_, network) = task_of(None), probe()
    row = measure_row("p", network, task, seconds=1, keep=tmp_path / "p.safetensors")  # type: ignore[arg-type]
    kept = Predictions.load(tmp_path / "p.safetensors")
    assert kept.ids == tuple(DIGITS.ids[index] for index in task.split.test)
    assert kept.labels.tolist() == [DIGITS.labels[index] for index in task.split.test]
    assert kept.metrics().top1 == row.test.top1
    assert kept.classes == DIGITS.classes
    assert task.test_reads == ["p"]


@pytest.mark.parametrize("stored", [True, False])
def test_images_that_are_broken_or_have_no_label_are_left_out(stored: bool, tmp_path: Path) -> None:
    split = task_of(None).split
    gone, bare, at = split.test[3], split.test[5], DIGITS.source

    def source_of(index: int) -> bytes | np.ndarray:
        return b"no picture" if index == gone else at(index)

    images = replace(unlabelled(DIGITS, bare), source=source_of)
    task = task_of(Cache(tmp_path / "cache", 2**26) if stored else None, images)
    _, network = probe()
    path = tmp_path / "p.safetensors"
    measure_row("p", network, task, seconds=1, frozen=["sources.a"], keep=path)  # type: ignore[arg-type]
    assert bool(task.passes) == stored
    kept = Predictions.load(path)
    left = [index for index in split.test if index not in (gone, bare)]
    assert kept.ids == tuple(DIGITS.ids[index] for index in left)
    assert kept.labels.tolist() == [DIGITS.labels[index] for index in left]


def test_stored_values_and_images_give_the_same_predictions(tmp_path: Path) -> None:
    found: list[Predictions] = []
    for cache in (None, Cache(tmp_path / "cache", 2**26)):
        _, network = probe()
        path = tmp_path / f"{cache is None}.safetensors"
        task = task_of(cache)
        measure_row("p", network, task, seconds=1, frozen=["sources.a"], keep=path)  # type: ignore[arg-type]
        assert bool(task.passes) == (cache is not None)
        found.append(Predictions.load(path))
    assert found[0].ids == found[1].ids
    torch.testing.assert_close(found[0].probabilities, found[1].probabilities, rtol=1e-2, atol=1e-3)


def test_answers_about_fewer_classes_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not about these classes"):
        measure(torch.zeros(4, 1), torch.tensor([0, 1, 2, 0]))


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.safetensors").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Predictions.load(tmp_path / "p.safetensors")
