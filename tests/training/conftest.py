"""A small, real task: handwritten digits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from convgraft.sources import source
from convgraft.strategies import Ingredients

sys.path.insert(0, str(Path(__file__).parent))

SIZE = 8


@pytest.fixture(scope="session")
def given() -> Ingredients:
    sources = {"a": source("cifar_resnet20"), "b": source("cifar_resnet20", seed=1)}
    return Ingredients(sources, SIZE, 10)
