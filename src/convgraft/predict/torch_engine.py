"""A run by PyTorch, made as fast as this machine runs it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from convgraft.cache.tuning import on_threads
from convgraft.compose import Composite
from convgraft.errors import RunError
from convgraft.export import load
from convgraft.export.facts import weights_hash
from convgraft.export.optimized import noise, optimized
from convgraft.predict.halving import in_halves

BATCH = 32  # images at once that it is made fast for; any other number is right too


class TorchEngine:
    """A run folder's network, folded and laid out for speed (`convgraft.export.optimized`).

    Calls may come from several threads at once.

    Args:
        folder: of the run.
        threads: that one call works on; those of PyTorch by default.
        trust_python: allow the run to import `python:` sources.
        prepare: make it fast first; otherwise it runs as it is.

    Raises ArtifactError where the folder is no whole run.
    """

    engine = "PyTorch"

    def __init__(
        self,
        folder: Path,
        threads: int | None = None,
        *,
        trust_python: bool = False,
        prepare: bool = True,
    ) -> None:
        run = load(folder, trust_python=trust_python)
        self.labels, self.size = run.labels, run.image_size
        self.digest = weights_hash(folder)
        self._answer, self._threads = run.plan.answer, threads
        with self._on_threads():
            self._network = _fast(run.composite) if prepare else run.composite

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images, uint8 [N, 3, size, size], to probabilities [N, classes]."""
        return in_halves(self._ask, images)

    @torch.inference_mode()
    def _ask(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._on_threads():
            logits = self._network(torch.from_numpy(images))[self._answer]
            return logits.float().softmax(1).numpy()

    def _on_threads(self) -> AbstractContextManager[None]:
        return nullcontext() if self._threads is None else on_threads(self._threads)


def _fast(composite: Composite) -> nn.Module:
    """The network made fast, or as it is where that cannot be had."""
    try:
        return optimized(composite, noise(composite, BATCH))
    except RunError:
        return composite
