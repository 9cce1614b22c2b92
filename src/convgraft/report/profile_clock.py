"""Several ways to compute the same, timed side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import Tensor

LEAST, MOST = 3, 200  # rounds
COUNTED = 3  # calls of a turn


@torch.inference_mode()
def side_by_side(
    calls: Mapping[str, Callable[[Tensor], object]], images: Tensor, *, seconds: float = 2.0
) -> dict[str, float]:
    """Median seconds that each call takes for some images.

    They take turns, so that a busy moment of the machine is nobody's fault, and take turns at going
    first. The first call of a turn is not counted: threads of another engine may still be waiting
    for work on the same cores. Rounds go on until `seconds` are over, 3 at least and 200 at most.
    """
    for call in calls.values():
        call(images)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    names, until = list(calls), time.perf_counter() + seconds
    for number in range(MOST):
        if number >= LEAST and time.perf_counter() >= until:
            break
        for name in names[number % len(names) :] + names[: number % len(names)]:
            calls[name](images)
            for _ in range(COUNTED):
                began = time.perf_counter()
                calls[name](images)
                taken[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in taken.items()}
