"""`convgraft fewshot DATA --models A B`: how far a handful of images of each class goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.console import print_json, print_table, progress, say


def fewshot(
    data: Annotated[str, typer.Argument(metavar="DATA", help=said.DATA_HELP)],
    models: Annotated[list[str], said.MODELS],
    ways: Annotated[int, typer.Option(help="Classes of an episode.")] = 5,
    shots: Annotated[str, typer.Option(help="Images of each class to learn from.")] = "1,5",
    queries: Annotated[int, typer.Option(help="Images of each class to recognise.")] = 15,
    episodes: Annotated[int, typer.Option(help="How many episodes are drawn.")] = 600,
    heads: Annotated[
        str, typer.Option(help="Of prototype, linear and ridge.")
    ] = "prototype,linear,ridge",
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Side in pixels; networks made for smaller images keep theirs."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Label column of a Parquet set.")] = None,
    seed: Annotated[int, typer.Option(help="Of the episodes.")] = 0,
    strict: Annotated[bool, typer.Option(help="Stop at a broken image.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write JSON, Markdown and a figure.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Heads that learn from a few images, on frozen networks alone and on their joined features.

    N-way k-shot episodes are drawn from all images; every network, the join and the vote have the
    same ones, and differences have paired intervals.

    Example: convgraft fewshot pictures/ --models torchvision/squeezenet1_1@a.safetensors
    torchvision/mobilenet_v2@b.safetensors --image-size 100 --ways 5 --shots 1,5
    """
    from convgraft.cli import fewshot_steps
    from convgraft.report.fewshot import fewshot_cells, fewshot_header, fewshot_words

    rules = fewshot_steps.read_rules(ways, shots, queries, episodes, seed, heads)
    fewshot_steps.check_place(out)
    inputs = fewshot_steps.open_inputs(data, models, image_size, target, rules)
    fewshot_steps.tell_seen(inputs)
    with progress() as report:
        found = fewshot_steps.evaluate(inputs, report, strict=strict)
    told = fewshot_steps.as_data(inputs, found)
    files = fewshot_steps.write_report(told, out) if out else []
    for image in found.broken:
        say(f"left out: {image}")
    if json:
        print_json({**told, "files": [str(file) for file in files]})
        return
    print_table(f"{data}: accuracy in %", fewshot_header(told), fewshot_cells(told))
    for line in fewshot_words(told):
        say(line)
    for file in files:
        say(f"written: {file}")
