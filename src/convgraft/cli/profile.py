"""`convgraft profile RUN`: where time and memory go on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.console import print_json, print_table, say


def profile(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once, beside one alone.")] = 32,
    threads: Annotated[
        int | None, typer.Option(min=1, help="That an operation works on; PyTorch's own default.")
    ] = None,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what every source, wire and head takes: MACs, weights, milliseconds, memory.

    Then the whole network as it is, optimised, and in ONNX Runtime where it is exported.

    Example: convgraft profile runs/x --batch-size 8 --threads 1
    """
    from convgraft.cli.profile_steps import measure
    from convgraft.export import load
    from convgraft.report.profile_table import (
        engine_header,
        engine_rows,
        part_header,
        part_rows,
        profile_data,
        time_header,
        time_rows,
    )

    loaded = load(run, trust_python=trust_python)
    found = measure(loaded, batch_size, threads)
    if json:
        print_json({"run": str(run), "image_size": loaded.image_size, **profile_data(found)})
        return
    title = f"{run}: {loaded.image_size}x{loaded.image_size} pixels"
    print_table(title, part_header(found), part_rows(found))
    title = f"node by node, {found.threads} threads, by images at once"
    print_table(title, time_header(found), time_rows(found))
    print_table("as one call", engine_header(found), engine_rows(found))
    say(f"optimised: {'; '.join(found.steps)}")
