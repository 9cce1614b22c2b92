"""Results for people: tables and figures. Pure functions of plain data."""

from convgraft.report.figures import draw_comparison
from convgraft.report.tables import markdown_table
from convgraft.report.verdict import verdict

__all__ = ["draw_comparison", "markdown_table", "verdict"]
