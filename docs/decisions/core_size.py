"""Prints how large the core is, package by package.

python docs/decisions/core_size.py

Lines are those of the files; code is lines that hold a token other than a docstring or a comment.
"""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from pathlib import Path

import convgraft

CORE = ("compose", "plan", "layers", "sources", "errors.py")
BELOW = ("zoo", "durable")  # what lies below the core and knows nothing of it
_NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


@dataclass(frozen=True)
class Size:
    """Lines of files, and those of them that are code."""

    lines: int
    code: int

    def __add__(self, other: Size) -> Size:
        return Size(self.lines + other.lines, self.code + other.code)


def size_of(text: str) -> Size:
    """The size of a file's text."""
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            told |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            code |= set(range(token.start[0], token.end[0] + 1))
    return Size(text.count("\n"), len(code - told))


def size_of_part(part: str) -> Size:
    """The size of a package, or of one file, of convgraft."""
    path = Path(convgraft.__file__).with_name(part)
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return sum((size_of(file.read_text(encoding="utf-8")) for file in files), Size(0, 0))


def core() -> Size:
    """The size of the core."""
    return sum(map(size_of_part, CORE), Size(0, 0))


def table() -> str:
    """As Markdown."""
    rows = [(f"`{part}`", size_of_part(part)) for part in CORE]
    rows += [("**core**", core()), *((f"`{part}`, below", size_of_part(part)) for part in BELOW)]
    told = [f"| {name} | {size.lines:,} | {size.code:,} |" for name, size in rows]
    return "\n".join(["| part | lines | code |", "|---|--:|--:|", *told])


if __name__ == "__main__":
    print(table())
