"""What the addresses have in common: the model, the batcher, the pools and the counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convgraft.serve.batcher import Batcher
from convgraft.serve.body import HeldBytes
from convgraft.serve.chances import most_probable
from convgraft.serve.decoding import decode_picture
from convgraft.serve.explainer import Explainer
from convgraft.serve.limits import Limits
from convgraft.serve.metrics import Metrics
from convgraft.serve.refusal import Refusal, busy
from convgraft.serve.schemas import Answer, Explanation, Map
from convgraft.serve.served import Served
from convgraft.serve.uploads import Upload

MOST_DECODERS = 4
MOST_EXPLAINED = 8  # explanations that wait at one time; each costs a gradient
Result = TypeVar("Result")


class Service:
    """One model, served. `start` and `stop` are called within the server's event loop."""

    def __init__(self, served: Served, limits: Limits | None = None) -> None:
        self.served, self.limits = served, limits or Limits()
        self.metrics, self.held = Metrics(), HeldBytes(self.limits.held)
        self.batcher = Batcher(
            served.classifier.probabilities, self.limits, self.metrics.batches.observe
        )
        self.metrics.watch(lambda: self.batcher.admitted)
        self._decoders: ThreadPoolExecutor | None = None
        self._explaining: ThreadPoolExecutor | None = None
        self._explanations = 0

    def start(self) -> None:
        """Begin to work."""
        self._decoders = ThreadPoolExecutor(min(MOST_DECODERS, os.cpu_count() or 1), "decode")
        self._explaining = ThreadPoolExecutor(1, "explain")
        self.batcher.start()

    async def stop(self) -> None:
        """End; the requests have their answers by now."""
        await self.batcher.stop()
        for pool in (self._decoders, self._explaining):
            if pool:
                pool.shutdown(wait=False, cancel_futures=True)

    async def predict(self, uploads: Sequence[Upload], top: int) -> list[Answer]:
        """The most probable classes of each picture.

        Raises Refusal: 413 and 422 for a picture, 503 where too many wait, 504 where it takes too
        long.
        """
        coming = [partial(self._pixels, upload) for upload in uploads]
        found = await self._in_time(self.batcher.answers(coming))
        labels = self.served.classifier.labels
        return [
            Answer(name=upload.name, classes=most_probable(labels, chances, top))
            for upload, chances in zip(uploads, found, strict=True)
        ]

    async def explain(self, upload: Upload, top: int, index: int | None) -> Explanation:
        """Why one picture is answered as it is; Refusal as of `predict`, and 404 where nobody can.

        Args:
            index: the class to explain; the most probable one when not given.
        """
        explainer, labels = self.explainer(), self.served.classifier.labels
        if index is not None and index >= len(labels):
            raise Refusal(
                422, "there is no class with that index", expected=f"0 to {len(labels) - 1}",
                found=str(index),
            )  # fmt: skip
        pixels = await self._in_time(self._pixels(upload))
        return await self._alone(partial(explainer.explain, pixels, top, index))

    async def map(self) -> Map:
        """The fusion map; Refusal, 404, where the model has none."""
        explainer = self.explainer()
        return await self._alone(lambda: explainer.map)

    def explainer(self) -> Explainer:
        """What explains; raises Refusal, 404, where nothing does."""
        if self.served.explainer is None:
            raise Refusal(404, "answers cannot be explained", found=self.served.why_not)
        return self.served.explainer

    async def _pixels(self, upload: Upload) -> NDArray[np.uint8]:
        size, most = self.served.classifier.size, self.limits.pixels
        decode = partial(decode_picture, upload.data, size, pixels=most, name=upload.place)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, decode)

    async def _alone(self, work: Callable[[], Result]) -> Result:
        """Work of the explainer, one thing at a time."""
        if self._explanations >= MOST_EXPLAINED:
            raise busy("other explanations are waiting already")
        self._explanations += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._explaining, work)
            return await self._in_time(future)
        finally:
            self._explanations -= 1

    async def _in_time(self, work: Awaitable[Result]) -> Result:
        try:
            async with asyncio.timeout(self.limits.answer):
                return await work
        except TimeoutError as error:
            raise Refusal(
                504,
                "the answer took too long",
                expected=f"within {self.limits.answer:g} s",
                hint="fewer pictures in a request, or the same a little later",
            ) from error
