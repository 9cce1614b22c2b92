"""Every example in a docstring prints what stands below it."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest
from helpers_docs import REPO

SRC = REPO / "src"
EXAMPLE = re.compile(r"^\s*>>> ", re.MULTILINE)
MODULES = [
    ".".join(path.relative_to(SRC).with_suffix("").parts)
    for path in sorted(SRC.rglob("*.py"))
    if EXAMPLE.search(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    ran = doctest.testmod(importlib.import_module(name))
    assert ran.failed == 0, f"{name}: {ran.failed} of {ran.attempted} examples, as printed above"


@pytest.mark.parametrize("name", MODULES)
def test_no_example_is_passed_over(name: str) -> None:
    found = doctest.DocTestFinder().find(importlib.import_module(name))
    path = SRC / Path(*name.split(".")).with_suffix(".py")
    written = EXAMPLE.findall(path.read_text(encoding="utf-8"))
    assert sum(len(test.examples) for test in found) == len(written)
