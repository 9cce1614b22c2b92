"""One command, several processes: this one becomes a rank, or starts the ranks and ends with them.

The ranks are started by `torchrun`, by SLURM, or by this command itself, which then uses PyTorch's
own launcher: the same command again, once for each rank, with its place in the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import typer

from convgraft.cli.ranks import FSDP, Launch

GIVEN: ContextVar[tuple[str, ...]] = ContextVar("given", default=())


@contextmanager
def given(arguments: Sequence[str]) -> Iterator[None]:
    """Remember the command, for the ranks that it may start."""
    before = GIVEN.set(tuple(arguments))
    try:
        yield
    finally:
        GIVEN.reset(before)


def begin(asked: Launch) -> None:
    """Become one of the ranks, or start them and end with their exit code, or do nothing.

    Raises UsageError for wrong use; RunError where the ranks do not come together.
    """
    asked.check()
    place = _place(os.environ, asked)
    if place is not None:
        from convgraft.cli.joining import join

        join(place, sharded=asked.strategy == FSDP)
    elif asked.devices * asked.num_nodes > 1:
        from convgraft.cli.starting import start

        raise typer.Exit(start(asked, GIVEN.get() or tuple(sys.argv[1:])))


def _place(known: Mapping[str, str], asked: Launch) -> dict[str, str] | None:
    """What the environment says of this process's place among ranks; None where it says nothing.

    SLURM's words count where several ranks were asked for, inside of `srun`.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if all(name in known for name in names):
        local = {name: known.get(name, "") for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE")}
        return {name: known[name] for name in names} | local if known["WORLD_SIZE"] != "1" else None
    several = asked.devices * asked.num_nodes > 1 and known.get("SLURM_NTASKS", "1") != "1"
    if not several or "SLURM_PROCID" not in known or "SLURM_STEP_ID" not in known:
        return None
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    cluster = SLURMEnvironment(auto_requeue=False)
    return {
        "RANK": known["SLURM_PROCID"],
        "WORLD_SIZE": known["SLURM_NTASKS"],
        "LOCAL_RANK": known.get("SLURM_LOCALID", "0"),
        "LOCAL_WORLD_SIZE": str(asked.devices),
        "MASTER_ADDR": cluster.main_address,
        "MASTER_PORT": str(cluster.main_port),
    }
