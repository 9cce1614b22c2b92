"""One pass of images through what is frozen: decoded, computed as fast as may be, and kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from convgraft.cache.fast import fast_version
from convgraft.cache.folder import Cache
from convgraft.cache.halves import in_halves
from convgraft.cache.keeper import Ids, Keeper
from convgraft.cache.pixel_stream import stream_pixels
from convgraft.cache.streams import run_streams, streams_on
from convgraft.cache.tuning import on_threads, tune
from convgraft.data import BrokenImage, ImageSet, image_ids

FEW = 256  # images for which making the network fast takes longer than it saves, stored or not
BATCH = 32
MANY = 50_000  # images from which it pays to time every way and batch, and to compile for a GPU
SAMPLE = 8  # images that the ways of computing are compared on


class RandomFront(Exception):  # noqa: N818 - no person reads it
    """What is frozen gives another value each time: there is nothing to store."""


@dataclass(frozen=True, eq=False)
class OnePass:
    """Images, and how they go through.

    Attributes:
        images, indices, ids: all that values are wanted of.
        size: side in pixels.
        cache: where decoded pixels are looked for.
        broken: those that turn out broken are added here.
        augment, on_progress: as `FrozenPass` has them.
    """

    images: ImageSet
    indices: Sequence[int]
    ids: Ids
    size: int
    cache: Cache
    broken: list[BrokenImage]
    workers: int = 2
    strict: bool = False
    augment: Callable[[str, Tensor], Tensor] | None = None
    on_progress: Callable[[int, int], None] | None = None

    def run(self, front: fx.GraphModule, rows: NDArray[np.int64], keep: Keeper) -> int:
        """Compute the values of the images in these rows; how many images went through.

        Raises:
            RandomFront: they are other values each time.
            BrokenImage: with `strict`.
        """
        device = next((p.device for p in front.parameters()), torch.device("cpu"))
        if _draws(front, self.size, device):
            raise RandomFront
        network, batch = self._prepared(front, len(rows), device)
        id_of = {self.indices[row]: np.uint64(self.ids[row]) for row in rows.tolist()}
        done = 0
        try:
            with closing(self._batches(id_of, batch, device)) as batches:
                for (kept, ids), values in run_streams(
                    in_halves(network), batches, streams_on(device)
                ):
                    same = self._unchanged(kept, ids)
                    keep.add(ids[same], [_rows(value.float().cpu(), same) for value in values])
                    done += len(kept)
                    if self.on_progress:
                        self.on_progress(done, len(rows))
        finally:  # what was computed is kept, whoever stopped it
            keep.flush()
        return done

    def _batches(
        self, id_of: Mapping[int, np.uint64], batch: int, device: torch.device
    ) -> Generator[tuple[tuple[tuple[int, ...], Ids], Tensor]]:
        """Indices and ids of images, and their pixels as they go through the network."""
        for kept, pixels in stream_pixels(
            self.images,
            self.size,
            self.cache,
            indices=list(id_of),
            batch=batch,
            strict=self.strict,
            workers=self.workers,
            broken=self.broken,
        ):
            ids = np.array([id_of[index] for index in kept], dtype=np.uint64)
            if self.augment:
                named = zip((self.images.ids[index] for index in kept), pixels, strict=True)
                pixels = torch.stack([self.augment(name, image) for name, image in named])
            yield (kept, ids), pixels.to(device)

    def _unchanged(self, indices: Sequence[int], ids: Ids) -> NDArray[np.bool_]:
        """[N]; false for images that changed while they were read: either may have been read."""
        now = image_ids(self.images, indices)
        same = np.ones(len(ids), dtype=bool) if now is None else now == ids
        for place in np.flatnonzero(~same).tolist():
            name = self.images.ids[indices[place]]
            self.broken.append(BrokenImage(name, "changed while it was read"))
            if self.strict:
                raise self.broken[-1]
        return same

    def _prepared(
        self, front: fx.GraphModule, count: int, device: torch.device
    ) -> tuple[nn.Module, int]:
        """The front as fast as this machine runs it, and how many images to give it at once.

        A pass that goes on with the rest of its images computes as it began: to the same last bit.
        """
        if len(self.ids) < FEW:
            return front, BATCH
        sample = torch.zeros(SAMPLE, 3, self.size, self.size, dtype=torch.uint8, device=device)
        streams = streams_on(device)
        with on_threads(1) if streams > 1 else nullcontext():
            if count < MANY:
                return fast_version(front, sample), BATCH
            fast = fast_version(front, sample, thorough=True, compile=streams == 1)
            return fast, tune(fast, sample, threads=(1,)).batch


def _rows(value: Tensor, chosen: NDArray[np.bool_]) -> Tensor:
    """Some rows, always copied: memory that a stream made stays in the way of its next maps."""
    return value.clone() if chosen.all() else value[torch.from_numpy(chosen)]


def _draws(front: fx.GraphModule, size: int, device: torch.device) -> bool:
    """Whether a network in evaluation mode draws random numbers all the same."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (2, 3, size, size), generator=generator, dtype=torch.uint8)
    given: list[tuple[Tensor, ...]] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for seed in range(2):
            torch.manual_seed(seed)
            given.append(front(noise.to(device)))
    pairs = zip(*given, strict=True)
    return not all(torch.allclose(one, other, 1e-4, 1e-5, equal_nan=True) for one, other in pairs)
