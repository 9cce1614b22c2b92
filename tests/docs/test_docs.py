"""Every code block and every plan in the docs runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convgraft.errors import PlanError
from convgraft.plan import plan_from_yaml
from convgraft.training import read_policy

REPO = Path(__file__).parents[2]
PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+?)\)")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 1}", match[2])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text())
        if match[1] == language
    ]


@pytest.mark.parametrize(("where", "code"), blocks("python"))
def test_python_blocks_run(
    where: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, where, "exec"), {})


@pytest.mark.parametrize(("where", "text"), blocks("yaml"))
def test_yaml_blocks_are_plans_or_policies(where: str, text: str, tmp_path: Path) -> None:
    try:
        plan_from_yaml(text, name=where)
    except PlanError:
        file = tmp_path / "policy.yaml"
        file.write_text(text)
        read_policy(str(file))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_files_named_in_the_architecture_exist() -> None:
    text = (REPO / "docs" / "architecture.md").read_text()
    for path in re.findall(r"`((?:tests|benchmarks)/[\w/.]+\.py)`", text):
        assert (REPO / path).exists(), path
