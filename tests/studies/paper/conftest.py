"""A small folder of image sets in the places where the paper's are looked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def few_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three colours under the names of the paper's sets."""
    from helpers_paper import write_sets

    return write_sets(tmp_path_factory.mktemp("sets"))
