"""What ranks say when something goes wrong: one of them, once, for all.

Nothing heavy is loaded: where no group was joined, there is nothing to ask.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

FAILED = "rank zero has said why"
WAIT = timedelta(seconds=10)
LINGER = 2.0  # seconds in which rank zero comes to its end before the others


def prefix() -> str | None:
    """What stands before an error of this process; None where rank zero has told it for all."""
    group = _group()
    if group is None or group.is_first:
        return ""
    with suppress(Exception):  # a store that is gone says nothing
        group.store.wait([FAILED], WAIT)
        return None
    return f"rank {group.rank}: "


def ended(code: int) -> int:
    """The exit code of an error: rank zero's, which has told it by now, or this process's own.

    What starts ranks ends all of them with the first one that it sees ended.
    """
    group = _group()
    if group is None or group.world == 1:
        return code
    with suppress(Exception):
        if group.is_first:
            group.store.set(FAILED, str(code))
        elif group.store.check([FAILED]):
            code = int(group.store.get(FAILED))
            time.sleep(LINGER)
    return code


def lost(error: BaseException) -> str | None:
    """What to say where an error means that another rank is gone; None where it means another."""
    group = _group()
    if group is None or group.world == 1:
        return None
    if not sys.modules["convgraft.training.process_group"].is_lost(error):
        return None
    return (
        f"error: rank {group.rank} has lost another rank\n"
        f"  found: {' '.join(str(error).split())[:200]}\n"
        "  try: the same command, which goes on from the last checkpoint"
    )


def is_silent() -> bool:
    """Whether another rank says that the work was stopped."""
    group = _group()
    return group is not None and not group.is_first


def is_one_of_many() -> bool:
    """Whether this process has joined others that do the same work."""
    group = _group()
    return group is not None and group.world > 1


def part() -> bool:
    """Leave the group, when the work is done on all ranks; whether there was one."""
    if not is_one_of_many():
        return False
    _group().wait()
    sys.modules["convgraft.training.process_group"].leave_group()
    return True


def _group() -> Any:
    module = sys.modules.get("convgraft.training.process_group")
    return module.current_group() if module else None
