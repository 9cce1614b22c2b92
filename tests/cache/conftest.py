"""Helpers beside the tests, and a folder for an entry."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where an entry may lie; nothing is there yet."""
    return tmp_path / "cache" / "key"
