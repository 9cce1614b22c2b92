"""Batches through a frozen network on all cores: each on one core, several side by side.

A small network's layers are too short to be shared out between cores: the waiting for one another,
layer after layer, costs more than half of what a second core could do. Whole batches are shared out
instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from convgraft.cache.tuning import on_threads, thread_counts

Label = TypeVar("Label")
Values = tuple[Tensor, ...]


def streams_on(device: torch.device) -> int:
    """How many batches run side by side: one for each core, and one on an accelerator."""
    return thread_counts(device)[0] if device.type == "cpu" else 1


def run_streams(
    network: Callable[[Tensor], Values],
    batches: Iterable[tuple[Label, Tensor]],
    streams: int,
) -> Iterator[tuple[Label, Values]]:
    """What a network makes of batches, in their order; `streams` of them are in work at a time.

    Twice as many batches are taken ahead. With more than one stream each works on one thread; the
    process's number of threads is as before in the end.

    Args:
        network: images [N, 3, S, S] to values, and safe to call from several threads.
        batches: whatever belongs to a batch, and its images.
    """
    if streams == 1:
        for label, images in batches:
            yield label, _run(network, images)
        return
    ahead: deque[tuple[Label, Future[Values]]] = deque()
    with (
        on_threads(1),
        ThreadPoolExecutor(
            streams, "stream", initializer=torch.set_num_threads, initargs=(1,)
        ) as pool,
    ):
        try:
            for label, images in batches:
                ahead.append((label, pool.submit(_run, network, images)))
                while len(ahead) > 2 * streams:
                    first, future = ahead.popleft()
                    yield first, future.result()
            while ahead:
                first, future = ahead.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _run(network: Callable[[Tensor], Values], images: Tensor) -> Values:
    with torch.inference_mode():
        return network(images)
