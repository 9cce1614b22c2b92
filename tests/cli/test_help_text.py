"""The help of every command on a narrow terminal: what it says can be copied."""

from __future__ import annotations

import inspect
import itertools
import shlex

import pytest
from typer.testing import CliRunner

from convgraft.cli.help_text import EXAMPLE
from convgraft.cli.main import PANELS, app

COMMANDS = {name: command for panel in PANELS.values() for name, command in panel.items()}


def printed(name: str) -> list[str]:
    """The paragraphs above the options, as an 80-column terminal shows them."""
    wide = {"COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"}
    shown = CliRunner().invoke(app, [name, "--help"], env=wide).output
    assert max(map(len, shown.splitlines())) <= 80
    prose = shown[shown.index("Usage:") : shown.index("╭")]
    return "\n".join(map(str.strip, prose.splitlines())).split("\n\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_can_be_copied(name: str) -> None:
    shown = next(part for part in printed(name) if part.startswith(EXAMPLE))
    written = inspect.cleandoc(COMMANDS[name].__doc__ or "").partition(EXAMPLE)[2]
    expected = shlex.split(written.partition("\n\n")[0].replace("\n", " "))
    copied = shown.removeprefix(EXAMPLE)
    assert expected[:2] == ["convgraft", name]
    assert shlex.split(copied.replace("\\\n", " ")) == expected
    assert all(line.endswith("\\") for line in copied.splitlines()[:-1])


@pytest.mark.parametrize("name", COMMANDS)
def test_lines_of_prose_are_full(name: str) -> None:
    for part in printed(name):
        if not part.startswith((EXAMPLE, "Usage:")):
            for line, following in itertools.pairwise(part.splitlines()):
                assert len(f"{line} {following.split()[0]}") > 70
