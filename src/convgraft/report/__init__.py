"""Results for people: tables and figures. Pure functions of plain data."""

from convgraft.report.figures import draw_comparison
from convgraft.report.plan_picture import draw_plan, frozen_sources
from convgraft.report.study import SHORT_HEADER, short_cells, study_table, study_words
from convgraft.report.study_figure import draw_study
from convgraft.report.study_verdict import failure_words, study_verdict
from convgraft.report.tables import markdown_table
from convgraft.report.verdict import compared_verdict, verdict

__all__ = [
    "SHORT_HEADER",
    "compared_verdict",
    "draw_comparison",
    "draw_plan",
    "draw_study",
    "failure_words",
    "frozen_sources",
    "markdown_table",
    "short_cells",
    "study_table",
    "study_verdict",
    "study_words",
    "verdict",
]
