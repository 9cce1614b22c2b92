"""Files in, answers out, in their order, on all cores, in memory that does not grow.

    names -> batches -> [read, decode, resize, ask the network] on each core -> answers

A worker takes a batch from the file to the answer on one core. No stage waits for another one and
none has cores of its own to idle on, whichever of decoding and computing takes longer here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Semaphore

import numpy as np
import torch
from numpy.typing import NDArray

from convgraft.cache.streams import streams_on
from convgraft.cache.tuning import on_threads
from convgraft.data import BrokenImage
from convgraft.predict.classifier import Classifier
from convgraft.predict.pace import Pace
from convgraft.predict.reading import read_images

AHEAD = 2  # batches in work or waiting to be fetched, for each worker


@dataclass(frozen=True, eq=False)
class Answers:
    """What came of some files, in their order.

    Attributes:
        files: their names, as they were given.
        errors: what is wrong with each, as the rest of a sentence (`is empty`); None: nothing.
        probabilities: float32 [N, classes]; not a number where something is wrong.
    """

    files: tuple[str, ...]
    errors: tuple[str | None, ...]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        """The number of files."""
        return len(self.files)

    @property
    def failed(self) -> int:
        """How many of the files have no answer."""
        return sum(error is not None for error in self.errors)


def answer_files(
    names: Iterable[str],
    classifier: Classifier,
    *,
    workers: int | None = None,
    batch: int | None = None,
    strict: bool = False,
) -> Iterator[Answers]:
    """What a classifier says of image files, some at a time, in their order.

    Every image is read as for training (`convgraft.data.read_resized`). Names are taken as they are
    needed, `AHEAD` batches a worker ahead of what was fetched.

    Args:
        names: of files; may be endless.
        classifier: open it with `threads=1`: every worker calls it.
        workers: threads that read, decode and ask, one for each core by default. More help where
            reading has to be waited for; no more than there are cores ask at a time.
        batch: images at once; by default what proves fastest here, see `Pace`.
        strict: raise for the first file that is no image, after the batches before it.

    Raises BrokenImage with `strict`.
    """
    cores = streams_on(torch.device("cpu"))
    count = workers or cores
    worker = _Worker(classifier, Pace(classifier.size, fixed=batch), Semaphore(cores))
    left = iter(names)
    ahead: deque[Future[Answers]] = deque()
    with on_threads(1):
        pool = ThreadPoolExecutor(count, "predict", torch.set_num_threads, (1,))
        try:
            while True:
                while len(ahead) < AHEAD * count and (files := worker.take(left)):
                    ahead.append(pool.submit(worker.answer, files))
                if not ahead:
                    return
                answers = ahead.popleft().result()
                if strict:
                    _check(answers)
                yield answers
        finally:
            pool.shutdown(cancel_futures=True)


def _check(answers: Answers) -> None:
    for name, error in zip(answers.files, answers.errors, strict=True):
        if error is not None:
            raise BrokenImage(name, error)


@dataclass(frozen=True)
class _Worker:
    """What every thread does; `gate` lets as many ask the network at a time as there are cores."""

    classifier: Classifier
    pace: Pace
    gate: Semaphore

    def take(self, names: Iterator[str]) -> tuple[str, ...]:
        return tuple(islice(names, self.pace.next()))

    def answer(self, files: tuple[str, ...]) -> Answers:
        pixels, errors = read_images(files, self.classifier.size)
        found = np.full((len(files), len(self.classifier.labels)), np.nan, np.float32)
        if len(pixels):
            found[[error is None for error in errors]] = self._ask(pixels)
        return Answers(files, errors, found)

    def _ask(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self.gate:
            began = time.perf_counter()
            found = self.classifier.probabilities(pixels)
            self.pace.took(len(pixels), time.perf_counter() - began)
            return found
