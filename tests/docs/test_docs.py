"""Every code block, plan and link in the docs holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers_docs import DOCS, PAGES, REPO, anchors, blocks, commands, links, name_of

from convgraft.data import open_images
from convgraft.data.label_map import read_label_map
from convgraft.errors import ConvgraftError, PlanError
from convgraft.plan import plan_from_yaml
from convgraft.training import read_policy

DECIMAL = re.compile(r"^\|.*\d\.\d.*\|$", re.MULTILINE)  # a row of a table of measurements
MAKES = re.compile(r"`(?:convgraft|make|python) [^`]+`")
ELSEWHERE = {  # pages with numbers and no command, and why
    "docs/decisions/0011-large-jpegs-at-reduced-scale.md": "compared once, when it was decided",
    "docs/reference/cli.md": "defaults of options, from the program",
    "docs/reference/plan.md": "defaults of keys, from the code",
}


def blocks_of(language: str) -> list[tuple[str, str]]:
    found = [block for page in PAGES for block in blocks(page)]
    return [(one.where, one.text) for one in found if one.language == language]


@pytest.mark.parametrize(("where", "code"), blocks_of("python"))
def test_python_blocks_run(
    where: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, where, "exec"), {"__name__": "__docs__"})


@pytest.mark.parametrize(("where", "text"), blocks_of("yaml"))
def test_yaml_blocks_are_plans_policies_or_label_maps(
    where: str, text: str, tmp_path: Path
) -> None:
    try:
        plan_from_yaml(text, name=where)
    except PlanError:
        file = tmp_path / "file.yaml"
        file.write_text(text)
        try:
            read_policy(str(file))
        except ConvgraftError:
            assert read_label_map(file, open_images("digits"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_measurements_have_a_command(page: Path) -> None:
    text = page.read_text()
    if not DECIMAL.search(text) or name_of(page) in ELSEWHERE:
        return
    starts = ("convgraft ", "make ", "python ")
    told = any(one.text.startswith(starts) for one in commands(page))
    assert told or MAKES.search(text), "it has numbers, and no command that prints them"


def test_files_named_in_the_architecture_exist() -> None:
    text = (DOCS / "architecture.md").read_text()
    for path in re.findall(r"`((?:tests|benchmarks)/[\w/.]+\.py)`", text):
        assert (REPO / path).exists(), path


def test_every_picture_is_shown_and_has_words_for_those_who_do_not_see_it() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in links(page)
        if target.endswith((".svg", ".png"))
    }
    drawn = {*DOCS.rglob("*.svg"), *DOCS.rglob("*.png")}
    assert {path.resolve() for path in drawn} - shown == set()
    for page in PAGES:
        assert not re.search(r"!\[\s*\]\(", page.read_text()), page
