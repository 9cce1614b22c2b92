"""The picture of the architecture is the code's, and the core does not grow unnoticed."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import convgraft

REPO = Path(__file__).parents[2]
SOURCE = Path(convgraft.__file__).parent
MOST_LINES, MOST_CODE = 5_450, 3_530  # who raises them says why in decision 0012


def drawn() -> list[tuple[str, str]]:
    """(name, what it is) of the packages and files that the page lists, from the top down."""
    page = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")
    return re.findall(r"^    (\w+)(?:/|\.py) +(\S.*)$", page, re.MULTILINE)


def contract() -> list[str]:
    """The layers that the import check holds, from the top down."""
    settings = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["tool"]["importlinter"]["contracts"][0]["layers"]


def test_the_page_lists_the_layers_of_the_import_check_in_their_order() -> None:
    assert [name for name, _ in drawn()] == contract()


def test_the_layers_are_all_packages_that_there_are() -> None:
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    files = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert set(contract()) == packages | files


@pytest.fixture(scope="module")
def counting() -> ModuleType:
    """The script that counts the core."""
    path = REPO / "docs" / "decisions" / "core_size.py"
    spec = importlib.util.spec_from_file_location("core_size", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_docstrings_comments_and_blank_lines_are_no_code(counting: ModuleType) -> None:
    text = (
        '"""Says\n\nmore."""\n\nX = (\n    # why\n    1,\n)  # end\n\n\ndef f():\n    """Says."""\n'
    )
    assert counting.size_of(text) == counting.Size(lines=12, code=4)


def test_the_core_is_the_lowest_layers_but_those_that_know_nothing_of_it(
    counting: ModuleType,
) -> None:
    layers = contract()
    lowest = layers[layers.index("compose") :]
    assert [name for name in lowest if name not in counting.BELOW] == [
        part.removesuffix(".py") for part in counting.CORE
    ]


def test_the_core_does_not_grow_unnoticed(counting: ModuleType) -> None:
    core = counting.core()
    assert core.lines <= MOST_LINES
    assert core.code <= MOST_CODE


def test_the_decision_says_how_large_it_was_when_it_was_written(counting: ModuleType) -> None:
    page = next((REPO / "docs" / "decisions").glob("0012-*.md")).read_text(encoding="utf-8")
    parts = re.findall(r"^\| `([\w.]+)` \|(.+)\|$", page, re.MULTILINE)
    sums = re.findall(r"^\| \*\*core\*\* \|(.+)\|$", page, re.MULTILINE)
    rows = [[int(cell.replace(",", "")) for cell in row.split("|")] for _, row in parts]
    assert [part for part, _ in parts] == list(counting.CORE)
    (told,) = [[int(cell.replace(",", "")) for cell in row.split("|")] for row in sums]
    assert [sum(column) for column in zip(*rows, strict=True)] == told
    assert told[2] <= MOST_LINES
    assert told[3] <= MOST_CODE
