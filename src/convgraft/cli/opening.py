"""Opening the images of a command: how far it is, and what Ctrl-C leaves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from convgraft.cli.console import progress, say

Report = Callable[[str, int, int], None]
Found = TypeVar("Found")
KEPT = "read headers"  # work whose results are kept file by file


def opened(open: Callable[[Report], Found]) -> Found:
    """What `open` gives; where it reports, its progress is shown.

    Where it is stopped while it reads headers, a line says that what was read is kept.
    """
    shown: list[Report] = []
    works: set[str] = set()
    with ExitStack() as stack:

        def report(what: str, done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(progress()))
            shown[0](what, done, total)
            works.add(what)

        try:
            return open(report)
        except KeyboardInterrupt:
            stack.close()
            if any(what.startswith(KEPT) for what in works):
                say("the shards whose headers were read are known from now on: the same command")
                say("goes on with the others")
            raise
