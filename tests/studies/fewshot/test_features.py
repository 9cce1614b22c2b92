"""The features of frozen networks over a whole set: what a network gives, in the set's order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convgraft.cache import Cache
from convgraft.compose import compose
from convgraft.data import Split, open_images
from convgraft.data.imageset import frozen_labels
from convgraft.plan import Head, Plan
from convgraft.strategies import Ingredients
from convgraft.studies.fewshot import frozen_features, whole_set
from convgraft.studies.fewshot.features import readable_names
from convgraft.training import Task
from helpers import small

IMAGES = open_images("digits")
GIVEN = Ingredients({name: small(seed) for seed, name in enumerate("ab")}, 8, 10)
SPLIT = Split(tuple(range(0, 41, 2)), tuple(range(1, 41, 2)), (), seed=0)


def quiet(what: str, done: int, total: int) -> None:
    pass


def task_in(folder: Path | None) -> Task:
    return Task(IMAGES, SPLIT, 8, cache=Cache(folder, 2**30) if folder else None)


@pytest.mark.parametrize("stored", [True, False])
def test_values_are_what_a_network_gives_in_the_order_of_the_set(
    stored: bool, tmp_path: Path
) -> None:
    found = frozen_features(GIVEN, task_in(tmp_path if stored else None), quiet)
    assert np.array_equal(found.labels, IMAGES.labels[:41])
    alone = replace(GIVEN, sources={"b": GIVEN.sources["b"]})
    plan = Plan(8, alone.refs, (), (Head("t", "tap", (GIVEN.features("b"),)),))
    network = compose(plan, alone.sources).eval()
    with torch.no_grad():
        value = network(torch.stack([IMAGES.read(index) for index in range(41)]))["t"]
    name = readable_names(GIVEN.sources)["b"]
    torch.testing.assert_close(found.values[name], value, rtol=1e-4, atol=1e-5)


def test_what_is_stored_is_not_computed_again(tmp_path: Path) -> None:
    first, second = task_in(tmp_path), task_in(tmp_path)
    frozen_features(GIVEN, first, quiet)
    frozen_features(GIVEN, second, quiet)
    assert first.computed == {"a": 41, "b": 41}
    assert second.computed == {}


def test_images_without_a_label_are_left_out() -> None:
    gaps = replace(IMAGES, labels=frozen_labels(np.where(IMAGES.labels == 3, -1, IMAGES.labels)))
    split = whole_set(gaps)
    assert sorted(split.train + split.val) == np.flatnonzero(IMAGES.labels != 3).tolist()
    assert split.test == ()


def test_networks_have_names_that_tell_them_apart() -> None:
    specs = ("torchvision/mobilenet_v2@w/x.pth", "cifar_resnet20@one", "cifar_resnet20@two")
    sources = {name: replace(small(), spec=spec) for name, spec in zip("abc", specs, strict=True)}
    assert list(readable_names(sources).values()) == [
        "mobilenet_v2",
        "cifar_resnet20 (b)",
        "cifar_resnet20 (c)",
    ]
