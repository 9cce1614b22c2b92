"""A report's page as one HTML file: styles, scripts and pictures are inside it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from convgraft.report.calibration_chart import calibration_chart
from convgraft.report.confusion_chart import confusion_chart
from convgraft.report.cost_chart import cost_chart, cost_words
from convgraft.report.examined import most_confused
from convgraft.report.line_chart import line_chart
from convgraft.report.page_data import Page

FOLDER = "html"
STYLES = ("colours.css", "page.css", "charts.css", "fusion.css", "print.css")
SCRIPTS = ("facts.js", "view.js", "printing.js")
MOST_CLASSES = 20  # up to which the confusion matrix is a table of numbers


def html_page(page: Page) -> str:
    """The page as HTML, complete in itself: it asks no network for anything.

    The page's own policy forbids every request, and every script but its own, which it names by
    hash. Names of classes, files and arms are text wherever they stand.
    """
    script = _read(SCRIPTS)
    return _template().render(
        page=page,
        sections=sections(page),
        style=Markup(_read(STYLES)),
        script=Markup(script),
        policy=content_policy(script),
        cost_chart=cost_chart,
        cost_words=cost_words,
        line_chart=line_chart,
        calibration_chart=calibration_chart,
        confusion_chart=confusion_chart,
        most_confused=most_confused,
        most_classes=MOST_CLASSES,
    )


def sections(page: Page) -> dict[str, str]:
    """The sections that a page has, by their ids; what is not known has none."""
    examined = page.examined
    there = {
        "arms": ("Arms", page.arms.rows),
        "cost": ("Accuracy and cost", len(page.points) > 1),
        "curves": ("Curves", page.charts),
        "confusion": ("Confusion", examined),
        "calibration": ("Calibration", examined),
        "mistakes": ("Worst mistakes", examined and examined.mistakes),
        "fusion": ("Fusion map", page.fusion),
        "frozen": ("What was frozen", page.frozen),
        "failed": ("What failed", page.failed),
        "leaks": ("Leaks", page.leaks),
        "again": ("How to reproduce it", page.facts or page.command),
    }
    return {name: title for name, (title, found) in there.items() if found}


def content_policy(script: str) -> str:
    """What the page lets a browser do: run the one script, show what lies in the page."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _read(names: tuple[str, ...]) -> str:
    folder = files("convgraft.report") / FOLDER
    return "\n".join((folder / name).read_text(encoding="utf-8").strip() for name in names)


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("convgraft.report", FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
