"""`convgraft predict RUN FILE_OR_FOLDER...`: the most probable classes of images."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

FEW = 256  # images for which making the network fast takes longer than it saves


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder, or an .onnx file exported from one.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE_OR_FOLDER...",
            help='What to look at; "-" reads names of files from standard input.',
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Write rows here; a stopped command goes on.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="csv, json, jsonl or parquet; by --out's name by default.")
    ] = None,
    probabilities: Annotated[bool, typer.Option(help="Tell that of every class in rows.")] = False,
    engine: Annotated[
        str, typer.Option(help="onnx, torch, or auto: onnx where the run was exported.")
    ] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images at once; what is fastest by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads; one for each core by default.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Stop at a broken image.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the file of --out.")] = False,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in images. A broken image is named and left out, or a row that says why.

    Example: convgraft predict runs/x holiday/ --out holiday.csv
    """
    from convgraft.cli.predict_steps import Asked, Work, answer_all, choose_rows, find_names
    from convgraft.predict.classifier import open_classifier

    asked = Asked(out, format, top, probabilities, overwrite, json)
    chosen = asked.check()
    paths, names = find_names(images)
    first = list(islice(names, FEW))
    classifier = open_classifier(
        run, engine=engine, threads=1, trust_python=trust_python, prepare=len(first) == FEW
    )
    rows = choose_rows(asked, chosen, classifier, str(run))
    work = Work(paths, chain(first, names), classifier, workers, batch_size, strict)
    answer_all(work, rows, json=json)
