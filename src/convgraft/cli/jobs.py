"""`--jobs N` and `--ray [ADDRESS]`: where arms are trained, when not one after another here."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convgraft.cli.console import say
from convgraft.errors import UsageError

if TYPE_CHECKING:
    from convgraft.studies.workers import Workers

LOCAL = "local"  # what --ray without an address means


@dataclass(frozen=True)
class Spreading:
    """What somebody said of it; None is not said.

    Attributes:
        jobs: processes of this machine.
        ray: `local`, `auto`, or an address.
        cpus, gpus: for each arm.
    """

    jobs: int | None = None
    ray: str | None = None
    cpus: float | None = None
    gpus: float | None = None

    @property
    def is_here(self) -> bool:
        """Whether this process does everything itself."""
        return self.ray is None and (self.jobs or 1) == 1


HERE = Spreading()


def read_spreading(
    jobs: int | None, ray: str | None, cpus: float | None, gpus: float | None
) -> Spreading:
    """The options, checked; raises UsageError."""
    if jobs is not None and ray is not None:
        raise UsageError(
            "--jobs and --ray both say where arms are trained",
            expected="one of them",
            hint="--ray: Ray itself knows how many processors there are",
        )
    if cpus is not None and ray is None:
        raise UsageError(
            "--cpus-per-arm is for Ray",
            expected="--ray beside it",
            hint="OMP_NUM_THREADS=K: the threads of each process",
        )
    if gpus is not None and ray is None and (jobs or 1) == 1:
        raise UsageError("--gpus-per-arm has no meaning here", expected="--jobs N or --ray")
    if cpus is not None and not 0 < cpus < math.inf:
        raise UsageError("--cpus-per-arm is above 0", found=f"{cpus:g}")
    if gpus is not None and not (0 <= gpus <= 1 or (gpus < math.inf and gpus == int(gpus))):
        raise UsageError(
            "--gpus-per-arm cannot be read",
            expected="a share of 1, or whole GPUs",
            found=f"{gpus:g}",
        )
    if ray is not None:
        from convgraft.studies.ray_cluster import import_ray

        import_ray()
    return Spreading(jobs, ray, cpus, gpus)


def with_ray(arguments: Sequence[str]) -> list[str]:
    """`--ray` without an address as `--ray local`, which is what the parser understands.

    >>> with_ray(["compare", "--ray", "--seeds", "2"])
    ['compare', '--ray', 'local', '--seeds', '2']
    """
    found: list[str] = []
    for number, argument in enumerate(arguments):
        found.append(argument)
        following = arguments[number + 1 : number + 2]
        if argument == "--ray" and (not following or following[0].startswith("-")):
            found.append(LOCAL)
    return found


@contextmanager
def working(asked: Spreading, accelerator: str = "auto") -> Iterator[Workers | None]:
    """The workers that are asked for, ended with this; None where this process does it all.

    Args:
        accelerator: of the fits; those on processors need no GPU.

    Raises UsageError where there are none to be had.
    """
    if asked.is_here:
        yield None
        return
    workers = _on_ray(asked, accelerator) if asked.ray is not None else _pool(asked, accelerator)
    try:
        yield workers
    finally:
        workers.close()


def _on_ray(asked: Spreading, accelerator: str) -> Workers:
    from convgraft.studies.on_ray import OnRay

    assert asked.ray is not None
    gpus = 0 if asked.gpus is None and accelerator == "cpu" else asked.gpus
    cpus = 1 if asked.cpus is None else asked.cpus
    workers = OnRay(asked.ray, cpus=cpus, gpus=gpus, watched=sys.stderr.isatty())
    say(f"on Ray: room for {workers.count} arms at a time")
    return workers


def _pool(asked: Spreading, accelerator: str) -> Workers:
    import torch

    from convgraft.studies.gpus import shares
    from convgraft.studies.pool import Pool, begin_server

    assert asked.jobs is not None
    count = torch.cuda.device_count() if accelerator not in ("cpu", "mps") else 0
    workers = Pool(asked.jobs, shares(asked.jobs, count, asked.gpus))
    begin_server()
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    if workers.count < asked.jobs:
        say(f"{workers.count} processes: there are no GPUs for more")
    if workers.count * threads > cores:
        say(
            f"{workers.count} processes of {threads} threads on {cores} cores; with "
            f"OMP_NUM_THREADS={max(1, cores // workers.count)} they do not wait for each other"
        )
    return workers
