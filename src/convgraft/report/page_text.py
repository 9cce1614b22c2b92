"""A report's page as Markdown, and its figures as CSV."""

from __future__ import annotations

import csv
import io

from convgraft.report.cost_chart import cost_words
from convgraft.report.examined import most_confused
from convgraft.report.page_data import Examined, Page, Pairs, Table
from convgraft.report.tables import markdown_table


def markdown_page(page: Page) -> str:
    """The page as Markdown; what only a picture can tell is left out."""
    parts = [f"# {page.title}", page.about, *page.verdict]
    if page.arms.rows:
        parts += ["## Arms", _table(page.arms), page.how]
    if page.compared:
        parts += [_table(page.compared), page.how_compared]
    if len(page.points) > 1:
        parts += ["## Accuracy and cost", cost_words(page.points)]
    parts += _examined(page.examined) if page.examined else []
    if page.fusion:
        parts += ["## Fusion map", page.fusion.title, *map(_table, page.fusion.tables)]
        parts += [_code(page.fusion.plan)]
    told = {"What was frozen": page.frozen, "What failed": (page.failed,), "Leaks": (page.leaks,)}
    for title, tables in told.items():
        found = [table for table in tables if table]
        parts += [f"## {title}", *map(_table, found)] if found else []
    parts += ["## How to reproduce it"]
    parts += [_code(page.command), page.command_words] if page.command else []
    parts += [f"### {name}\n\n{_pairs(pairs)}" for name, pairs in page.facts.items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def csv_page(page: Page) -> str:
    """The raw figures: a row for each arm of a run, or for each result of a study."""
    names = list(dict.fromkeys(name for line in page.lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(page.lines)
    return text.getvalue()


def _table(table: Table) -> str:
    return f"{table.caption}:\n\n{markdown_table(table.header, table.rows)}"


def _examined(shown: Examined) -> list[str]:
    pairs = [
        (true, answer, number, f"{100 * share:.1f} %")
        for true, answer, number, share in most_confused(shown)
    ]
    rows = [(b.count, f"{100 * b.confidence:.1f}", f"{100 * b.right:.1f}") for b in shown.bins]
    worst = [(m.id, m.label, m.answer, f"{100 * m.probability:.1f} %") for m in shown.mistakes]
    tables = (
        ("Confusion", ("class", "taken for", "images", "of its class"), pairs),
        (f"Calibration (ECE {shown.ece:.4f})", ("answers", "confidence, %", "right, %"), rows),
        ("Worst mistakes", ("image", "class", "answer", "confidence"), worst),
    )
    return [part for title, header, rows in tables if rows for part in (
        f"## {title}", shown.told, markdown_table(header, rows)
    )]  # fmt: skip


def _pairs(pairs: Pairs) -> str:
    return "\n".join(f"* {name}: {value}" for name, value in pairs)


def _code(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
