"""The commands of Start and Questions run as they stand there, and print such tables.

They are made short: few epochs. So numbers differ from the page's, and what is compared is the
rest: rows and headers of the tables.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers_docs import DOCS, Command, blocks, console, name_of

import convgraft.training as training
from convgraft.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PAGES = [DOCS / "start.md", *sorted((DOCS / "questions").glob("[!i]*.md"))]
NOT_RUN = {  # commands that are only parsed, by their first words, and why
    "convgraft serve": "it serves until it is stopped; tests/serve has it",
    "convgraft demo": "made short, in the fixture; tests/cli/test_demo.py has it",
    "curl": "asks a server",
    "pip": "installs from a network",
    "make": "installs first; what it calls is tested",
}
EPOCHS = 3
NUMBER = re.compile(r"^[\d.,±%+-]+$")
CHOSEN = "→"  # a stitch: which ones are the best few depends on the training that was made short
FILE = re.compile(r"`([\w.-]+\.yaml)`")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `convgraft demo` ran, for two epochs each."""
    folder = tmp_path_factory.mktemp("demo")
    options = training.FitOptions

    def short(**given: Any) -> training.FitOptions:
        return options(**{**given, "epochs": 2})

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(training, "FitOptions", short)
        main_ends(["demo"])
    return folder


def main_ends(words: list[str]) -> None:
    """Run the program in this process; it has to end well."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code in (0, None), words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_page_runs(
    page: Path,
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(demo, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    write_files(page, tmp_path)
    ran = 0
    for command in console(page):
        if any(command.text.startswith(first) for first in NOT_RUN):
            continue
        capfd.readouterr()
        main_ends(shortened(command.words[1:]))
        assert_tells(command, "".join(capfd.readouterr()))
        ran += 1
    assert ran, "a page with nothing to run"


def write_files(page: Path, folder: Path) -> None:
    """The YAML blocks of a page, each under the last name of a file before it."""
    text = page.read_text()
    for block in blocks(page):
        if block.language == "yaml":
            named = FILE.findall(text[: text.index(block.text)])
            assert named, f"{block.where} has no name of a file before it"
            (folder / named[-1]).write_text(block.text)


def shortened(words: list[str]) -> list[str]:
    """The same with fewer epochs."""
    if "--epochs" in words:
        place = words.index("--epochs") + 1
        words = [*words[:place], str(min(EPOCHS, int(words[place]))), *words[place + 1 :]]
    return words


def assert_tells(command: Command, printed: str) -> None:
    """Each row that the page shows is printed: what stands in its first column, and headers."""
    for row in rows(command.printed):
        name = row[0]
        assert name in printed, f"{command.text}\n{name} is not in\n{printed}"
    for header in headers(command.printed):
        assert header in printed, f"{command.text}\n{header} is not in\n{printed}"


def rows(table: str) -> list[list[str]]:
    found = [line for line in table.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in found]
    named = [row for row in cells if row[0] and not NUMBER.match(row[0])]
    return [row for row in named if CHOSEN not in row[0]]


def headers(table: str) -> list[str]:
    found = [line for line in table.splitlines() if line.startswith("┃")]
    return [cell.strip() for line in found for cell in line.strip("┃").split("┃") if cell.strip()]
