"""`convgraft optimize RUN`: what optimising gains on this machine, for PyTorch users."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convgraft.cli.console import print_json, print_table, say


def optimize(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.pt2", help="Also write the folded network for torch.export."),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Try torch.compile too; needs a C++ compiler.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once, beside one.")] = 32,
    threads: Annotated[
        int | None, typer.Option(min=1, help="That an operation works on; PyTorch's own default.")
    ] = None,
    trust_python: Annotated[
        bool, typer.Option(help="Let the run import its python: sources, that is, run code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make the network fast, and compare it with the composite as it is.

    Packed weights belong to one machine and are not saved: `convgraft.export.optimized.optimized`
    makes the network anew from the run in seconds. It takes and gives what the composite
    does.

    Example: convgraft optimize runs/x --threads 2
    """
    from convgraft.cli.optimize_steps import check_place, compare, save_program
    from convgraft.export import load

    check_place(out)
    loaded = load(run, trust_python=trust_python)
    found = compare(loaded, batch_size, threads, compile)
    if out is not None:
        save_program(loaded, out)
        found["written"] = str(out)
    if json:
        print_json({"run": str(run), **found})
        return
    rows = [
        (count, f"{ms['eager']:.2f}", f"{ms['optimised']:.2f}", f"{ms['share']:.2f}")
        for count, ms in found["ms"].items()
    ]
    title = f"{run}: {found['threads']} threads"
    print_table(title, ("images at once", "eager ms", "optimised ms", "optimised / eager"), rows)
    for step in found["steps"]:
        say(f"* {step}")
    say(f"largest difference {found['difference']:.1e} of the largest logit")
    if out is not None:
        say(f"written: {out}")
    say("in Python: from convgraft.export.optimized import optimized")
    say(f'           fast = optimized(convgraft.load("{run}").composite)')
