"""What scripts of the docs write is what they would write now."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from helpers_docs import DOCS

import convgraft
from convgraft.errors import PlanError
from convgraft.plan import plan_from_yaml


def script(path: str) -> ModuleType:
    """A script of the docs, imported and not run; it imports what lies beside it."""
    beside = str((DOCS / path).parent)
    if beside not in sys.path:
        sys.path.append(beside)
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), DOCS / f"{path}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli", "plan"])
def test_a_reference_page_is_current(name: str) -> None:
    written = (DOCS / "reference" / f"{name}.md").read_text()
    assert written == script(f"reference/write_{name}").page(), "make docs"


def test_the_pages_of_python_names_are_current() -> None:
    made = script("reference/write_api")
    assert (DOCS / "reference" / "api.md").read_text() == made.api(), "make docs"
    assert (DOCS / "reference" / "packages.md").read_text() == made.packages(), "make docs"


def test_every_public_name_is_on_the_page() -> None:
    made = script("reference/write_api")
    for name in convgraft.__all__:
        assert re.search(rf"\b{made.RENAMED.get(name, name)}\b", made.api()), name


@pytest.mark.parametrize(
    ("part", "plan"),
    [
        ("file", "image_size: 8\nsources: {a: custom16}\nwrong: 1"),
        ("sources", "image_size: 8\nsources: {a: {network: custom16, wrong: 1}}"),
        (
            "wires",
            "image_size: 8\nsources: {a: custom16}\nwires: [{from: a:x, to: a:y, wrong: 1}]",
        ),
        (
            "heads",
            "image_size: 8\nsources: {a: custom16}\nheads: {h: {kind: tap, from: a:x, wrong: 1}}",
        ),
    ],
)
def test_the_keys_of_a_plan_are_those_that_its_reader_knows(part: str, plan: str) -> None:
    with pytest.raises(PlanError) as told:
        plan_from_yaml(plan)
    (problem,) = (one for one in told.value.problems if "wrong" in str(one))
    for key in script("reference/write_plan").keys(part):
        assert re.search(rf"\b{key}\b", str(problem)), (key, str(problem))


def test_concepts_are_drawn_as_they_would_be_now() -> None:
    made = script("images/draw_concepts")
    for name in made.PICTURES:
        assert (DOCS / "images" / "concepts" / f"{name}.svg").read_text() == made.svg(name), name


def test_pictures_of_questions_say_what_their_pages_say(tmp_path: Path) -> None:
    made = script("images/questions")
    for name in made.NAMES:
        committed = DOCS / "images" / "questions" / f"{name}.svg"
        assert made.words(committed) == made.words(made.draw(name, tmp_path)), (
            "python docs/images/questions.py"
        )
        assert name not in made.CHARTS or len(made.last_table(name)) > 1, name
