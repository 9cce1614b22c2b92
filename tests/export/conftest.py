"""Real images, where they are there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import Tensor

from convgraft.data import load_pixels, open_images

sys.path.insert(0, str(Path(__file__).parent))
SIZE = 16


@pytest.fixture(scope="session")
def real_images(request: pytest.FixtureRequest) -> Tensor:
    """A hundred photographs, or else digits: uint8 [100, 3, 16, 16]."""
    try:
        images = open_images(request.getfixturevalue("shared_data") / "natural_images")
    except pytest.skip.Exception:
        images = open_images("digits")
    chosen = [number * len(images) // 100 for number in range(100)]
    return load_pixels(images, SIZE, indices=chosen).images
