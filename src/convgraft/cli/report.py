"""`convgraft report RUN|STUDY`: all that is known of a run or a study, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.console import say


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN|STUDY", help="A run folder or a study folder.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file; report.html in the folder by default.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="html, md or csv; by --out's suffix, else html."),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="The images, for pictures of mistakes; where the run had them, if there."
        ),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Label column of a Parquet set; the run's by default.")
    ] = None,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
) -> None:
    """Write one page: verdict, arms, accuracy and cost, curves, mistakes, the fusion map.

    The HTML is complete in itself and asks no network for anything. Markdown tells the same
    without pictures; CSV holds the raw figures. Sections whose data the folder does not hold are
    left out: confusion, calibration and mistakes need predictions/.

    Example: convgraft report runs/x --open
    """
    from convgraft.cli import report_steps
    from convgraft.cli.report_page import read_page
    from convgraft.cli.report_pictures import Pictures
    from convgraft.export.files import write_text
    from convgraft.report.page import html_page
    from convgraft.report.page_text import csv_page, markdown_page

    write = {"html": html_page, "md": markdown_page, "csv": csv_page}
    chosen = report_steps.choose_form(form, out, tuple(write))
    path = report_steps.check_out(out) if out else folder / f"report.{chosen}"
    images = Pictures(data, tuple(target or ()))
    page = read_page(folder, images=images, trust_python=trust_python)
    write_text(path, write[chosen](page))
    shown = open_it and report_steps.show(path)
    say(f"written to {path}{report_steps.next_words(folder, chosen, shown)}")
