"""The tables of a study's page: arms, comparisons, leaks, policies, failures, raw figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.durable.lines import Line
from convgraft.report.page_data import Table
from convgraft.report.study import study_columns
from convgraft.report.study_verdict import HEADER, comparison_cells
from convgraft.studies import ArmSummary, Comparison
from convgraft.studies.comparison import WIN
from convgraft.studies.latency import LATENCY

Leaks = Mapping[str, Sequence[Mapping[str, Any]]]  # by cell: `digest`, and `places` of its copies
MOST_LEAKS = 50  # that a page lists


def arms_table(arms: Sequence[ArmSummary]) -> Table:
    """Every arm at every number of training images; the best of those with all seeds stand out."""
    header, cells = study_columns(arms)
    best: set[int] = set()
    for limit in dict.fromkeys(arm.limit for arm in arms):
        here = [number for number, arm in enumerate(arms) if arm.limit == limit]
        best.add(max(here, key=lambda number: _rank(arms[number])))
    caption = "Every arm, means over seeds; the highest test top-1 stands out"
    return Table(caption, header, tuple(map(tuple, cells)), frozenset(best))


def _rank(arm: ArmSummary) -> tuple[bool, float]:
    return arm.seeds >= arm.asked, arm.top1.value


def compared_table(comparisons: Sequence[Comparison]) -> Table | None:
    """Arms against what they have to beat; None where nothing was compared."""
    if not comparisons:
        return None
    rows = tuple(map(tuple, comparison_cells(comparisons)))
    wins = frozenset(number for number, one in enumerate(comparisons) if one.outcome == WIN)
    return Table("Arms against what they have to beat; wins stand out", HEADER, rows, wins)


def leaks_table(leaks: Leaks) -> Table | None:
    """Pictures that lie in several parts of a split, each once, by hash; None where none do."""
    cells: dict[str, list[str]] = {}
    places: dict[str, dict[str, None]] = {}
    for cell, found in leaks.items():
        for leak in found:
            cells.setdefault(leak["digest"], []).append(cell)
            told = places.setdefault(leak["digest"], {})
            told.update({f"{part} {image}": None for part, image in leak["places"]})
    if not cells:
        return None
    rows = tuple((digest, "; ".join(places[digest]), ", ".join(cells[digest])) for digest in cells)
    caption = "Pictures that lie in several parts of a split, by the SHA-256 of their bytes"
    if len(rows) > MOST_LEAKS:
        caption += f"; the first {MOST_LEAKS} of {len(rows):,}, leaks.json has all"
    return Table(caption, ("SHA-256", "part and image", "in the cells"), rows[:MOST_LEAKS])


def policies_table(lines: Sequence[Line]) -> tuple[Table, ...]:
    """What each arm let learn; empty for no lines."""
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line["arm"], line)
    rows = tuple(
        (arm, line.get("policy") or "not trained", line.get("loss", ""), f"{line['trainable']:,}")
        for arm, line in first.items()
    )
    if not rows:
        return ()
    caption = "What each arm let learn, and what its training minimised"
    return (Table(caption, ("arm", "freeze policy", "loss", "weights that learned"), rows),)


def failed_table(lines: Sequence[Line]) -> Table | None:
    """Which arms failed and why; None where none did."""
    if not lines:
        return None
    rows = tuple((str(line["arm"]), str(line["cell"]), str(line["failed"])) for line in lines)
    return Table("Arms without a result", ("arm", "cell", "why"), rows)


def raw_figures(line: Line) -> dict[str, object]:
    """A line's figures side by side, for CSV; curves and what else is no figure are left out."""
    plain = {key: value for key, value in line.items() if not isinstance(value, (Mapping, list))}
    test = {f"test_{name}": value for name, value in line["test"].items()}
    speed = {f"latency_{count}": value for count, value in line.get(LATENCY, {}).items()}
    return {**plain, **test, **speed}
