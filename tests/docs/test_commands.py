"""Every command in the docs is one: the program knows its name, its options and their values."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers_docs import PAGES, REPO, Command, commands, name_of

from convgraft.cli.main import app, spread_values
from convgraft.errors import ConvgraftError

GROUP: Any = typer.main.get_command(app)
LEFT_OUT = {  # what no parser can take, and why
    "...": "an ellipsis: some words are left out for the reader",
}
MADE = re.compile(r"(?:runs|studies|searches)/.+|[\w-]+\.yaml")  # what commands make and read
INLINE = re.compile(r"`convgraft ((?:[a-z][a-z-]*)(?: [a-z]+)?)([^`]*)`")


def ours() -> list[Command]:
    """All commands of the docs that begin with `convgraft`."""
    every = (command for page in PAGES for command in commands(page))
    return [command for command in every if command.text.startswith("convgraft ")]


@pytest.mark.parametrize("command", ours(), ids=lambda command: command.where)
def test_the_program_understands_it(command: Command) -> None:
    if any(mark in command.words for mark in LEFT_OUT):
        assert command.words[1] in GROUP.commands
        return
    try:
        parsed(command.words[1:])
    except Exception as error:  # of the parser, whose class is Typer's own
        if type(error).__name__ in ("Exit", "HelpRequested"):
            return
        told = error.format_message() if hasattr(error, "format_message") else str(error)
        raise AssertionError(f"{command.text}\n{told}") from None


def parsed(words: list[str]) -> Any:
    """The context of the command, its values read and nothing done."""
    context = GROUP.make_context("convgraft", spread_values(words))
    name, inner, rest = GROUP.resolve_command(context, context._protected_args + context.args)
    while hasattr(inner, "commands"):
        context = inner.make_context(name, rest, parent=context)
        name, inner, rest = inner.resolve_command(context, context._protected_args + context.args)
    return inner.make_context(name, rest, parent=context)


def test_a_wrong_option_would_be_seen() -> None:
    for words in (["fit", "digits", "--out", "x", "--no-such"], ["no-such"], ["fit", "digits"]):
        with pytest.raises(Exception, match=r"(?i)no such|missing"):
            try:
                parsed(words)
            except ConvgraftError:  # would be of the command itself: it must not run
                pytest.fail("the command ran")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_within_sentences_are_known(page: Path) -> None:
    for name, rest in INLINE.findall(page.read_text()):
        first, _, second = name.partition(" ")
        assert first in GROUP.commands, name
        inner = GROUP.commands[first]
        inner = getattr(inner, "commands", {}).get(second, inner)
        known = {option for part in inner.params for option in (*part.opts, *part.secondary_opts)}
        used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest))
        assert used <= known | {"--help"}, f"convgraft {name}{rest}"


def test_what_a_command_of_the_readme_reads_an_earlier_one_wrote() -> None:
    made = {"runs/demo"}  # by `convgraft demo`, which needs no name
    for command in commands(REPO / "README.md"):
        if not command.text.startswith("convgraft "):
            continue
        writes = "--plan" if command.words[1] == "match" else "--out"
        written = {after for word, after in pairwise(command.words) if word in ("--out", writes)}
        named = {word for word in command.words if MADE.fullmatch(word)}
        assert named - written <= made, f"{command.text}\nreads what nothing before it wrote"
        made |= written


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_and_python_commands_name_what_there_is(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", page.read_text())) <= targets
    for command in commands(page):
        first, *rest = command.text.split("#")[0].replace("\\\n", " ").split() or [""]
        if first == "make":
            assert set(rest) <= targets, command.text
        if first.endswith("python") and rest and rest[0].endswith(".py"):
            assert (REPO / rest[0]).exists() or rest[0] in OWN_SCRIPTS, command.text
        if first.endswith("python") and rest[:2] == ["-m", "pytest"]:
            paths = [word for word in rest[2:] if word.startswith("tests")]
            assert all((REPO / path).exists() for path in paths), command.text


OWN_SCRIPTS = {"run_onnx.py": "the reader's copy of examples/run_onnx.py"}
