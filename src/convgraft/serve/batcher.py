"""Dynamic batching: pictures of several requests go through the network together.

A batch is closed when it is full, when no other picture is on its way, or when its first one has
waited long enough. One thread asks the network; while it does, the next batch gathers.

Source: the idea is that of Crankshaw et al., Clipper: A Low-Latency Online Prediction Serving
System, 2017.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convgraft.serve.limits import Limits
from convgraft.serve.refusal import busy

Pixels = NDArray[np.uint8]
Chances = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A picture, uint8 [3, S, S], and where its probabilities are to go."""

    pixels: Pixels
    answer: asyncio.Future[Chances]


class Batcher:
    """Gathers pictures into batches for one network.

    Args:
        ask: pictures uint8 [N, 3, S, S] to probabilities [N, classes]; called from one thread.
        on_batch: is told the size of every batch.

    Attributes:
        admitted: pictures that have a place and no answer yet.
    """

    def __init__(
        self, ask: Callable[[Pixels], Chances], limits: Limits, on_batch: Callable[[int], object]
    ) -> None:
        self.ask, self.limits, self.on_batch = ask, limits, on_batch
        self.admitted = 0
        self._coming = 0  # have a place, and are being decoded
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()  # bounded by `admitted`
        self._worker: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; called within the event loop that the server runs in."""
        self._queue = asyncio.Queue()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """End; pictures that still wait get no answer."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._worker:
            self._worker.shutdown()

    async def answers(self, coming: Sequence[Callable[[], Awaitable[Pixels]]]) -> list[Chances]:
        """What the network says, [classes] for each picture, in their order.

        Args:
            coming: for each picture what makes its pixels, uint8 [3, S, S].

        Raises what the first picture raises that fails, and Refusal (503) where there are not as
        many places.
        """
        if self.admitted + len(coming) > self.limits.waiting:
            raise busy(f"{self.admitted} pictures are waiting already")
        self.admitted += len(coming)
        tasks = [asyncio.create_task(self._answer(make)) for make in coming]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            self.admitted -= len(coming)

    async def _answer(self, make: Callable[[], Awaitable[Pixels]]) -> Chances:
        self._coming += 1
        try:
            pixels = await make()
        finally:
            self._coming -= 1
        answer: asyncio.Future[Chances] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Waiting(pixels, answer))
        return await answer

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [one for one in await self._gather() if not one.answer.done()]
            if not batch:
                continue
            stacked = np.stack([one.pixels for one in batch])
            self.on_batch(len(batch))
            try:
                found = await loop.run_in_executor(self._worker, self.ask, stacked)
            except Exception as error:
                _fail(batch, error)
                continue
            for one, chances in zip(batch, found, strict=True):
                if not one.answer.done():
                    one.answer.set_result(chances)

    async def _gather(self) -> list[_Waiting]:
        batch = [await self._queue.get()]
        until = asyncio.get_running_loop().time() + self.limits.gather
        while len(batch) < self.limits.batch:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
                continue
            left = until - asyncio.get_running_loop().time()
            if self._coming <= 0 or left <= 0:
                break
            try:
                async with asyncio.timeout(left):
                    batch.append(await self._queue.get())
            except TimeoutError:
                break
        return batch


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for one in batch:
        if not one.answer.done():
            one.answer.set_exception(error)
