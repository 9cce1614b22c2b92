"""The frozen part runs once: what learns is trained and measured on stored values at its border."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convgraft.cache.folder import Cache
from convgraft.cache.frontier import (
    FLOAT_BYTES,
    NOTHING_FROZEN,
    Frontier,
    Refusal,
    frontier_or_reason,
)
from convgraft.cache.frozen_pass import FrozenPass, RandomFront
from convgraft.cache.precision import RowType
from convgraft.cache.split import rest_of
from convgraft.cache.stored import Column, StoredValues
from convgraft.cache.values import cut_values
from convgraft.compose import Composite
from convgraft.data import image_ids
from convgraft.opening.memory_format import fastest_format
from convgraft.training.process_group import current_group
from convgraft.training.task import Task
from convgraft.training.views import AS_THEY_ARE, Views, seeded_view, views_of

NO_ROOM = "the store in {} has no room; `convgraft cache clear`, or CONVGRAFT_CACHE_LIMIT"
WORTH = 0.2  # share of a step's multiply-accumulates that has to be saved
_SHARE = 0.5  # of the store that one fit may fill


@dataclass(frozen=True, eq=False)
class RunOnce:
    """A held composite in two.

    Attributes:
        network: from stored values to answers; it shares the composite's modules.
        layout: how maps lie in memory where `network`, if it reads any, is fastest.
    """

    task: Task
    cache: Cache
    frontier: Frontier
    network: Composite
    layout: torch.memory_format

    @classmethod
    def at(cls, frontier: Frontier, task: Task, cache: Cache) -> RunOnce:
        """The split of a held composite at a cut."""
        sizes = [math.prod(value.shape[1:]) for value in cut_values(frontier)]
        reads_maps = frontier.reads_image or max(sizes) > 1
        layout = fastest_format(frontier.held) if reads_maps else torch.contiguous_format
        return cls(task, cache, frontier, rest_of(frontier), layout)

    def data(
        self,
        part: str,
        views: Views = AS_THEY_ARE,
        *,
        reader: str = "",
        on_progress: Callable[[int, int], None] | None = None,
    ) -> StoredValues | None:
        """The stored values of a part of the task; what is not stored yet is computed first.

        Args:
            reader: who asks, noted where it is the test part.

        None where the store has no room, or does not know the images again.
        """
        indices = self.task.split.part(part)
        ids = image_ids(self.task.images, indices)
        if ids is None:
            return None
        found: list[list[Column]] = []
        for number in range(len(views.names)):
            columns = self._view(indices, ids, views, number, on_progress)
            if columns is None:
                return None
            found.append(columns)
        return self._whole(part, ids, found, views, reader)

    def prepare(
        self, parts: Sequence[str], on_progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Compute what is not stored of the images of several parts in one pass."""
        indices = [index for part in parts for index in self.task.split.part(part)]
        ids = image_ids(self.task.images, indices)
        if ids is not None:
            self._view(indices, ids, AS_THEY_ARE, 0, on_progress)

    def _view(
        self,
        indices: Sequence[int],
        ids: NDArray[np.uint64],
        views: Views,
        number: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> list[Column] | None:
        """The stored values of one view; None where there is no room for them."""
        group = current_group()
        through = FrozenPass(
            self.task.images,
            indices,
            ids,
            self.task.size,
            self.cache,
            workers=self.task.workers,
            strict=self.task.strict,
            skip=frozenset(image.id for image in self.task.broken),
            augment=seeded_view(views.augment, self.task.size, number),
            on_progress=on_progress,
            together=group if group.world > 1 else None,
        )
        view = views.names[number]
        values = cut_values(self.frontier, view)
        if not through.room_for(values):
            self.task.unstored.append(NO_ROOM.format(self.cache.folder))
            return None
        try:
            self.task.passes.append(through.store(self.frontier, values, view))
        except RandomFront:
            self.task.unstored.append("a frozen network draws random numbers")
            return None
        entries = [through.entry(value) for value in values]
        return [Column(entry, entry.slots(ids)) for entry in entries]

    def _whole(
        self,
        part: str,
        ids: NDArray[np.uint64],
        found: list[list[Column]],
        views: Views,
        reader: str,
    ) -> StoredValues:
        """The images all of whose values are there; the others are broken."""
        indices = np.array(self.task.split.part(part), dtype=np.int64)
        there = np.all([column.slots >= 0 for view in found for column in view], axis=0)
        images = None
        if self.frontier.reads_image:
            pixels = self.task.pixels(part, reader=reader)
            there &= np.isin(indices, pixels.indices)
            names = [self.task.images.ids[index] for index in indices[there]]
            images = views_of(pixels, indices[there], names, views)
        else:
            self.task.note_reader(part, reader)
        kept = np.flatnonzero(there)
        values = [[column.at(kept) for column in view] for view in found]
        return StoredValues(values, self.task.labels(indices[kept]), indices[kept], images)


def run_once(held: Composite, task: Task, images: int, *, at_rest: bool = False) -> RunOnce | None:
    """The split of a held composite; None where it would save little, or without a store.

    Args:
        images: how many there are to store values of, views counted.
        at_rest: whether nothing is trained, so that all that is held is frozen.
    """
    if task.cache is None:
        return None
    limit = task.cache.limit * 1000 * FLOAT_BYTES // RowType((1000,), task.cache.dtype).row_bytes
    frontier = worthwhile(held, images, limit, at_rest=at_rest)
    if isinstance(frontier, Refusal):
        if not at_rest and frontier != NOTHING_FROZEN:
            task.unstored.append(frontier.reason)
        return None
    return RunOnce.at(frontier, task, task.cache)


def worthwhile(
    held: Composite, images: int, limit: int, *, at_rest: bool = False
) -> Frontier | Refusal:
    """The cut that a fit over so many images would use, or why it would use none.

    Args:
        images: how many there are to store values of, views counted.
        limit: bytes that the whole store may take, in float32.
    """
    room = int(_SHARE * limit) // max(1, images)
    found = frontier_or_reason(held, room, at_rest=at_rest)
    if isinstance(found, Refusal):
        return found
    saved, total = found.macs_once, found.macs_once + found.macs_again
    if saved < WORTH * total:
        return Refusal(f"it would save {saved:,} of {total:,} MACs, less than {WORTH:.0%}")
    return found
