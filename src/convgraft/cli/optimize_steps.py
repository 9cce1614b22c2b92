"""Of `convgraft optimize`: the comparison, and the file for torch.export."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from convgraft.cache.tuning import on_threads
from convgraft.errors import RunError, UsageError
from convgraft.export import Run
from convgraft.export.files import write_whole
from convgraft.export.optimized import difference, noise, optimized
from convgraft.export.simplified import simplified
from convgraft.report.profile_clock import side_by_side

SECONDS = 2.0  # of each measurement
ENDING = ".pt2"


def check_place(out: Path | None) -> None:
    """Raises UsageError where no file of that name can be written."""
    if out is None:
        return
    if out.suffix != ENDING:
        raise UsageError(f'"{out}" is no name for a program', expected=f"a name in {ENDING}")
    if not out.parent.is_dir() or out.is_dir():
        raise UsageError(f'"{out}" cannot be written', expected="a file in a folder that exists")


def compare(run: Run, batch_size: int, threads: int | None, compile: bool) -> dict[str, Any]:
    """Milliseconds of both for one image and for several, steps and largest difference."""
    composite = run.composite.eval()
    with on_threads(threads) if threads else nullcontext():
        fast = optimized(composite, noise(composite, batch_size), compile=compile)
        taken: dict[str, dict[str, float]] = {}
        for count in sorted({1, batch_size}):
            calls = {"eager": composite, "optimised": fast}
            found = side_by_side(calls, noise(composite, count), seconds=SECONDS)
            share = found["optimised"] / found["eager"]
            taken[str(count)] = {name: 1000 * s for name, s in found.items()} | {"share": share}
        used = torch.get_num_threads()
    return {
        "threads": used,
        "ms": taken,
        "difference": max(fast.difference, difference(composite, fast, noise(composite, 1))),
        "steps": list(fast.steps),
    }


def save_program(run: Run, out: Path) -> None:
    """The simplified network as a program of `torch.export`: uint8 [N, 3, S, S] to a dict.

    Any number of images; `torch.export.load(FILE).module()` runs it without convgraft. Raises
    RunError where torch cannot export it.
    """
    network = simplified(run.composite)
    count = torch.export.Dim("images", min=1)
    try:
        with torch.no_grad():
            program = torch.export.export(
                network, (noise(run.composite, 2),), dynamic_shapes=({0: count},)
            )
    except Exception as error:  # torch raises many kinds, for as many limits
        raise RunError(
            "torch.export does not take this network",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="the network in Python: convgraft.export.optimized.optimized(run.composite)",
        ) from error
    write_whole(out, lambda part: torch.export.save(program, part))
