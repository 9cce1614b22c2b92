"""Tables as Markdown text."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right.

    >>> print(markdown_table(["arm", "top-1"], [["probe", 91.2]]))
    | arm | top-1 |
    |:--|--:|
    | probe | 91.2 |
    """
    rule = ["|:--", *["|--:"] * (len(header) - 1), "|"]
    lines = [_line(header), "".join(rule), *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
