"""`convgraft reproduce table1|table2|table3`: the paper's tables, its figures beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.console import print_json, progress, say

TABLES_HELP = "table1, table2 and table3, one or several."


def reproduce(
    tables: Annotated[list[str], typer.Argument(metavar="TABLE ...", help=TABLES_HELP)],
    scale: Annotated[str, typer.Option(help="smoke, cpu or full.")] = "cpu",
    data: Annotated[
        Path | None,
        typer.Option(envvar="CONVGRAFT_DATA", help="Folder with natural_images/, cifar100/, ..."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(envvar="CONVGRAFT_WEIGHTS", help="Folder with NAME-imagenet.safetensors."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for all of it.")] = Path("runs/reproduce"),
    rows: Annotated[
        list[str] | None, typer.Option(metavar="ROW ROW ...", help="Of table2-1 to table3-3; all.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many seeds, from 0; the scale's by default.")
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep what frozen parts compute.")
    ] = True,
    jobs: said.Jobs = None,
    ray: said.OnRay = None,
    cpus_per_arm: said.CpusPerArm = None,
    gpus_per_arm: said.GpusPerArm = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the Markdown there too.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the tables of "Transferred fusion learning using skipped networks" on your machine.

    Table 1 counts images. Tables 2 and 3 are studies of two joined networks, one a row: raw and
    zero-start cross-skip, ladder, parallel, and beside them average votes, probes and fine-tunes.
    Networks that learn before they are joined do so once. The same command goes on where it
    stopped.

    Example: convgraft reproduce table2 table3 --scale cpu --data DATA --weights WEIGHTS
    """
    from convgraft.cli import fit_steps, reproduce_results, reproduce_steps, reproduce_table
    from convgraft.cli.jobs import read_spreading, working
    from convgraft.studies.paper import Places, read_scale

    spreading = read_spreading(jobs, ray, cpus_per_arm, gpus_per_arm)
    places = Places(data, weights, out)
    store = fit_steps.open_store(cache, "float32")
    asked = reproduce_steps.read_asked(tables, read_scale(scale), rows or [], seeds)
    work = reproduce_steps.plan_work(asked, places, store)
    for note in work.notes:
        say(note)
    with working(spreading) as workers, progress() as report:
        reproduce_steps.do_work(work, places, report, workers)
    found = reproduce_results.read_results(asked.scale, places)
    text = reproduce_table.reproduced(found)
    files = reproduce_results.write_results(found, text, out, markdown)
    if json:
        print_json(found.as_dict())
    else:
        print(text)
    say(f"written: {', '.join(map(str, files))}")
