"""Tables as Markdown text."""

from __future__ import annotations

from collections.abc import Sequence

Columns = tuple[tuple[str, ...], list[list[str]]]  # what stands above them, and the rows


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


def without_empty(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns:
    """The table without the columns in which no row has anything.

    >>> without_empty(["arm", "ECE", "NLL"], [["x", "", "0.3"], ["y", "", ""]])
    (('arm', 'NLL'), [['x', '0.3'], ['y', '']])
    """
    kept = [n for n in range(len(header)) if not rows or any(row[n] for row in rows)]
    return tuple(header[n] for n in kept), [[row[n] for n in kept] for row in rows]


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
