"""`convgraft doctor [DATA]`: what this machine has for convgraft, what it lacks, and what to do."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from convgraft.cli import options as said
from convgraft.cli.console import print_json, print_table, say

DATA_HELP = "Also look at these images: class folders, Parquet, or digits."
WEIGHTS_HELP = "Also look for weight files in this folder."


def doctor(
    data: Annotated[str | None, typer.Argument(metavar="DATA", help=DATA_HELP)] = None,
    weights: Annotated[
        str | None, typer.Option(envvar="CONVGRAFT_WEIGHTS", help=WEIGHTS_HELP)
    ] = None,
    json: said.AsJson = False,
) -> None:
    """Look at versions, devices, memory, disks, the cache, weights and data; say what to do.

    Nothing is changed or downloaded. The exit code is 1 where something has to be mended first.

    Example: convgraft doctor pictures/
    """
    from convgraft.cli.doctor_checks import FAULT, all_findings

    found = all_findings(data, weights)
    faults = [one for one in found if one.state == FAULT]
    if json:
        print_json({"faults": len(faults), "findings": [asdict(one) for one in found]})
    else:
        rows = [(one.what, one.state, one.found) for one in found]
        print_table("convgraft doctor", ("what", "state", "found"), rows, words=3)
        for one in found:
            if one.todo:
                say(f"{one.what}: {one.todo}")
        if not faults:
            where = shlex.quote(data) if data else "DATA"
            say(f"all that is needed is here; next: convgraft demo, or convgraft init {where}")
    if faults:
        raise typer.Exit(1)
