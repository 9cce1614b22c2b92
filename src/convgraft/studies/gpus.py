"""Which GPUs each process of this machine sees."""

from __future__ import annotations

import os

from convgraft.errors import UsageError

VISIBLE = "CUDA_VISIBLE_DEVICES"


def shares(jobs: int, count: int, each: float | None = None) -> list[str | None]:
    """For each process the GPUs that it sees, as `CUDA_VISIBLE_DEVICES` has them; None: all.

    Where there are too few GPUs for so many processes, there are fewer processes.

    Args:
        count: how many GPUs there are.
        each: how many a process gets, or a share of one; None: all are shared out evenly.

    Raises UsageError where there is none, or too few for one process.

    >>> shares(3, 2), shares(4, 2, 1), shares(2, 4, 2)
    (['0', '1', '0'], ['0', '1'], ['0,1', '2,3'])
    """
    if each == 0:
        return [""] * jobs
    if not count and not each:
        return [None] * jobs
    if (each or 0) > count:
        raise UsageError(
            "there are too few GPUs for one arm", expected=f"{each:g}", found=str(count)
        )
    names = _names(count)
    if each is None or each < 1:
        fit = jobs if each is None else count * int(1 / each + 1e-6)
        return [names[number % count] for number in range(min(jobs, fit))]
    whole = int(each)
    groups = [names[first : first + whole] for first in range(0, count - whole + 1, whole)]
    return [",".join(group) for group in groups[:jobs]]


def _names(count: int) -> list[str]:
    """By number; where this process sees some of the machine's GPUs, by their names there."""
    told = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return told[:count] if len(told) >= count else [str(number) for number in range(count)]
