"""Workers: other processes that do tasks, and what each of them has to be like.

A task is plain values and a function of a module that does it: nothing that is open goes along.
`convgraft.studies.pool` has the processes of this machine, `convgraft.studies.on_ray` those of a
cluster. Everything here is pumped by its owner's own thread: who wants results asks for them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import torch

from convgraft.errors import RunError

Report = Callable[[str, int, int], None]
Work = Callable[[Any, Report], Any]  # a function of a module: task and report to a result

TRIES = 4  # of a task whose worker is lost again and again
INHERITED = ("CONVGRAFT_CACHE", "CONVGRAFT_CACHE_LIMIT", "OMP_NUM_THREADS")
PAUSE = 0.2  # seconds between two reports of one piece of work


def _version() -> str:
    """Of the package that is installed; unknown where it runs without that."""
    try:
        return version("convgraft")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class Ended:
    """A task that is over.

    Attributes:
        key: that it was started under.
        result: what its work returned; None where it was lost.
        lost: why there is no result, where every worker that tried it died.
    """

    key: Hashable
    result: Any = None
    lost: str = ""


class Workers(Protocol):
    """Processes that do tasks; the caller's thread is the only one that calls these."""

    @property
    def count(self) -> int:
        """How many tasks can be worked on at a time, as far as that is known."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether another task may be started now."""
        ...

    def start(self, key: Hashable, work: Work, task: Any) -> None:
        """Have a task done, by a worker that has room or will have."""
        ...

    def finished(self, seconds: float, report: Report) -> list[Ended]:
        """The tasks that ended, waiting so long at most for the first one.

        A task whose worker dies is done again by another one, `TRIES` times in all. Raises what
        the work raised.
        """
        ...

    def close(self) -> None:
        """End all workers, whatever they are at; nobody is left behind."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What a worker takes over from the process that sends it tasks, so that it counts alike.

    Attributes:
        threads: of PyTorch's operations; another number gives other roundings.
        folder: that relative paths begin at, where the worker has it.
        variables: of the environment; None: not set.
        version: of this package.
    """

    threads: int = field(default_factory=torch.get_num_threads)
    folder: str = field(default_factory=os.getcwd)
    variables: tuple[tuple[str, str | None], ...] = field(
        default_factory=lambda: tuple((name, os.environ.get(name)) for name in INHERITED)
    )
    version: str = field(default_factory=_version)

    def apply(self) -> None:
        """Make this process like that; raises RunError for another version of the package.

        Where the other one names no store, a worker keeps what its own machine says.
        """
        if self.version != _version():
            raise RunError(
                "a worker has another version of convgraft",
                expected=self.version,
                found=_version(),
                hint="the same on all machines",
            )
        for name, value in self.variables:
            if value is not None:
                os.environ[name] = value
            elif name == "OMP_NUM_THREADS":  # Ray sets it for its workers
                os.environ.pop(name, None)
        with suppress(OSError):  # another machine need not have it
            os.chdir(self.folder)
        torch.set_num_threads(self.threads)


def paced(tell: Report, pause: float = PAUSE) -> Report:
    """The same report, with a pause between two calls about one thing; the last is always told."""
    told: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - told.get(what, -pause) >= pause:
            told[what] = now
            tell(what, done, total)

    return report
