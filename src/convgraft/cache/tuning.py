"""How many images at once, and on how many threads: measured on the spot."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BATCHES = (32, 16, 64, 128, 8)
WORTH = 1.05  # how much faster more images at once must be, since they take more memory


@dataclass(frozen=True)
class Tuning:
    """What runs fastest here.

    Attributes:
        batch: images at once.
        threads: that PyTorch works on within an operation.
        images_per_second: with those two.
    """

    batch: int
    threads: int
    images_per_second: float


def tune(
    fast: nn.Module,
    sample: Tensor,
    *,
    seconds: float = 2.0,
    threads: Sequence[int] | None = None,
) -> Tuning:
    """The fastest batch size and number of threads of those that could be tried in `seconds`.

    A larger batch has to be clearly faster than a smaller one, since it takes more memory.

    What is likeliest comes first, so that little time finds a good one too; at least one is tried.
    The number of threads is left as it was. Neither changes values, beyond rounding.

    Args:
        fast: a network of images.
        sample: at least one image [N, 3, S, S] on the device to run on; repeated to fill batches.
        seconds: how long to try; the last try may take longer.
        threads: numbers of threads to try; those of `thread_counts` by default.
    """
    until = time.perf_counter() + seconds
    best: Tuning | None = None
    for count in threads or thread_counts(sample.device):
        with on_threads(count):
            for batch in BATCHES:
                if best is not None and time.perf_counter() >= until:
                    return best
                if best is not None and batch > 2 * best.batch:  # half as many were no better
                    continue
                rate = _rate(fast, _batch(sample, batch), until)
                found = Tuning(batch, count, rate)
                best = found if best is None else _better(best, found)
    assert best is not None
    return best


def _better(best: Tuning, found: Tuning) -> Tuning:
    needed = best.images_per_second * (WORTH if found.batch > best.batch else 1.0)
    return found if found.images_per_second > needed else best


def thread_counts(device: torch.device) -> tuple[int, ...]:
    """Numbers of threads worth trying, the most first: no more than cores, or than asked for.

    `OMP_NUM_THREADS` is the upper bound where it is set.
    """
    if device.type != "cpu":
        return (torch.get_num_threads(),)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    most = min(cores or 1, int(asked)) if asked.isdecimal() and int(asked) else cores or 1
    return tuple(dict.fromkeys((most, max(1, most // 2))))


@contextlib.contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """PyTorch's operations on that many threads, for as long as this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batch(sample: Tensor, batch: int) -> Tensor:
    return sample.repeat(-(-batch // len(sample)), 1, 1, 1)[:batch]


def _rate(fast: nn.Module, images: Tensor, until: float) -> float:
    """Images in a second: the best of three calls after a first, fewer where time runs out."""
    timed(fast, images)
    times = [timed(fast, images)]
    while len(times) < 3 and time.perf_counter() < until:
        times.append(timed(fast, images))
    return len(images) / min(times)


def timed(fast: nn.Module, images: Tensor) -> float:
    """Seconds of one call, until its values are there."""
    began = time.perf_counter()
    fast(images)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    return max(time.perf_counter() - began, 1e-9)
