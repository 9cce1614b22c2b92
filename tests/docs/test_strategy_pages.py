"""Every strategy has a page and a picture, and neither is out of date."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from convgraft.plan import parse_plan
from convgraft.strategies import STRATEGIES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"probe": "probe-and-finetune", "finetune": "probe-and-finetune"}
PLAN = re.compile(r"^```text\n(image .*?)^```", re.MULTILINE | re.DOTALL)
NAMES = [*STRATEGIES, "co-learning"]


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    """The script that draws the pictures."""
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "images" / "strategies.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> Path:
    return DOCS / "strategies" / f"{PAGES.get(name, name)}.md"


def words(picture: Path) -> list[str]:
    return [text.text or "" for text in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_the_strategys_picture_and_is_in_the_index(name: str) -> None:
    assert f"../images/strategies/{name}.svg" in page(name).read_text()
    assert f"({page(name).name})" in (DOCS / "strategies" / "README.md").read_text()


@pytest.mark.parametrize("path", sorted((DOCS / "strategies").glob("*.md")), ids=lambda p: p.name)
def test_every_plan_in_text_form_is_one(path: Path) -> None:
    for text in PLAN.findall(path.read_text()):
        assert str(parse_plan(text)) == text


# ensemble.md shows the plan of `convgraft ensemble`, which trains nothing
@pytest.mark.parametrize("name", [name for name in NAMES if name != "ensemble"])
def test_the_plan_on_a_page_is_what_the_strategy_writes(name: str, pictures: ModuleType) -> None:
    written = str(pictures.shown(pictures.arm(name)))
    assert written in PLAN.findall(page(name).read_text()), written


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_says_what_would_be_drawn(
    name: str, pictures: ModuleType, tmp_path: Path
) -> None:
    committed = DOCS / "images" / "strategies" / f"{name}.svg"
    hint = "python docs/images/strategies.py"
    assert words(pictures.draw(name, tmp_path)) == words(committed), hint


def test_the_pictures_are_of_every_strategy(pictures: ModuleType) -> None:
    assert list(pictures.names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_on_a_page_have_only_options_that_there_are(name: str) -> None:
    from convgraft.cli.main import app

    runner = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"})
    known = set()
    for command in ("fit", "study", "ensemble", "evaluate", "explain"):
        known |= set(re.findall(r"--[a-z-]+", runner.invoke(app, [command, "--help"]).output))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page(name).read_text()))
    assert used <= known
