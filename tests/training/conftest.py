"""A small, real task: handwritten digits."""

from __future__ import annotations

import pytest

from convgraft.data import open_images, split_images
from convgraft.sources import source
from convgraft.strategies import Ingredients
from convgraft.training import Task

SIZE = 8


@pytest.fixture(scope="session")
def digits_task() -> Task:
    images = open_images("digits")
    return Task(images, split_images(images, seed=0, limit=100), SIZE)


@pytest.fixture(scope="session")
def given() -> Ingredients:
    sources = {"a": source("cifar_resnet20"), "b": source("cifar_resnet20", seed=1)}
    return Ingredients(sources, SIZE, 10)
