"""The help of a command from its docstring: prose that fits any terminal, an example to copy."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

EXAMPLE = "Example: "
WIDTH = 76  # of the narrowest usual terminal, less what the help puts around it
GLUE = "\0"  # for a blank at which no line is broken: an option stays with its value


def help_of(command: Callable[..., Any]) -> str:
    """Its docstring, each paragraph one line, and an example with the shell's line continuations.

    >>> def pack() -> None:
    ...     '''Pack runs
    ...     into one.
    ...
    ...     Example: convgraft pack
    ...     runs/a runs/b
    ...     '''
    >>> help_of(pack)
    'Pack runs into one.\\n\\nExample: convgraft pack runs/a runs/b'
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(_shown(" ".join(paragraph.split())) for paragraph in paragraphs)


def _shown(paragraph: str) -> str:
    if not paragraph.startswith(EXAMPLE):
        return paragraph
    glued = re.sub(r"(--[\w-]+) (?!-)", rf"\1{GLUE}", paragraph)
    width = WIDTH - len(" \\")
    lines = textwrap.wrap(glued, width, break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(lines).replace(GLUE, " ")
