"""The frozen pass: what is frozen runs once over the images that are not stored yet.

It is shared: what one run has computed, every other one finds. A pass that is killed goes on where
its last commit was.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convgraft.cache.entry import Entry
from convgraft.cache.folder import Cache
from convgraft.cache.frontier import Frontier
from convgraft.cache.keeper import Ids, Keeper
from convgraft.cache.lacking import Rows, alike, lacking_rows
from convgraft.cache.one_pass import OnePass, RandomFront
from convgraft.cache.precision import RowType
from convgraft.cache.sharing import Sharers, Together, sharers_of
from convgraft.cache.split import front_of
from convgraft.cache.values import Value, companions
from convgraft.cache.writer import Writer
from convgraft.data import BrokenImage, ImageSet
from convgraft.errors import RunError

Report = Callable[[int, int], None]
TRIES = 3


@dataclass(frozen=True, eq=False)
class PassNotes:
    """What a pass did.

    Attributes:
        computed: by source, the images that went through it.
        seconds: of the pass.
        broken: images that could not be decoded.
    """

    computed: Mapping[str, int]
    seconds: float
    broken: tuple[BrokenImage, ...] = ()


@dataclass(frozen=True, eq=False)
class FrozenPass:
    """Images and a store, for whatever frozen part is to run over them.

    Attributes:
        images, indices: which images; `ids` are theirs.
        size: side in pixels.
        augment: what makes the view that is stored of an image, from its name and pixels; None:
            the image as it is.
        skip: names of images that are known to be broken.
        on_progress: called with images done and images in all.
        on_wait: called once if another process is computing the same.
        together: the ranks that all store the same values at this time; each computes a share of
            what the store that it sees lacks.
    """

    images: ImageSet
    indices: Sequence[int]
    ids: Ids
    size: int
    cache: Cache
    workers: int = 2
    strict: bool = False
    skip: frozenset[str] = frozenset()
    augment: Callable[[str, Tensor], Tensor] | None = None
    on_progress: Report | None = None
    on_wait: Callable[[], None] | None = None
    together: Together | None = None
    broken: list[BrokenImage] = field(default_factory=list)
    _entries: dict[str, Entry] = field(default_factory=dict)

    def store(self, frontier: Frontier, values: Sequence[Value], view: str = "") -> PassNotes:
        """See to it that all values of all images are stored, as far as images can be decoded."""
        began = time.monotonic()
        values = _distinct(values)
        computed: Counter[str] = Counter()
        for _ in range(TRIES):  # others may clear the store while this waits for its turn
            groups = alike(values, [self.missing(value) for value in values], len(self.ids))
            if not self._any(bool(groups)):
                break
            beside = companions(frontier, values, view)
            computed.update(self._in_shares(frontier, groups, beside))
        else:
            raise RunError(
                f"stored values go away while they are read: {len(self.ids):,} images",
                hint="a larger CONVGRAFT_CACHE_LIMIT, or another folder by CONVGRAFT_CACHE",
            )
        return PassNotes(dict(computed), time.monotonic() - began, tuple(self.broken))

    def _any(self, flag: bool) -> bool:
        return any(self.together.gather(flag)) if self.together else flag

    @cached_property
    def _names(self) -> Sequence[str]:
        return [self.images.ids[index] for index in self.indices]

    @cached_property
    def _sharers(self) -> Sharers | None:
        return sharers_of(self.cache.folder, self.together) if self.together else None

    def _in_shares(
        self,
        frontier: Frontier,
        groups: Sequence[tuple[list[Value], Rows]],
        companions: Sequence[Value],
    ) -> Counter[str]:
        """This rank's share of each group; by source, how many images went through on all ranks."""
        if not self.together or not self._sharers:
            return self._compute_groups(frontier, groups, companions)
        own = [(values, self._sharers.share(rows)) for values, rows in groups]
        done = self.together.each(
            lambda: self._compute_groups(frontier, own, companions), alike=(RandomFront,)
        )
        for entry in self._entries.values():
            entry.refresh()
        known = {image.id for image in self.broken}
        for told in self.together.gather([[image.id, image.reason] for image in self.broken]):
            self.broken.extend(BrokenImage(*one) for one in told if one[0] not in known)
            known |= {one[0] for one in told}
        computed: Counter[str] = Counter()
        for counts in self.together.gather(dict(done)):
            computed.update(counts)
        return computed

    def _compute_groups(
        self,
        frontier: Frontier,
        groups: Iterable[tuple[list[Value], Rows]],
        companions: Sequence[Value],
    ) -> Counter[str]:
        """One pass for each group; by source, how many images went through."""
        computed: Counter[str] = Counter()
        for group, rows in groups:
            beside = [value for value in companions if value.sources <= _sources(group)]
            together = _distinct([*group, *beside])
            if not self.has_room(together):
                together = group
            if done := self._run(frontier, together, len(group), rows):
                computed.update(dict.fromkeys(_sources(group), done))
        return computed

    def entry(self, value: Value) -> Entry:
        """Where a value lies."""
        if value.key not in self._entries:
            row = RowType(value.shape, self.cache.dtype)
            key = entry_key(value, self.cache.dtype)
            self._entries[value.key] = self.cache.entry(key, row, {"what": value.what})
        return self._entries[value.key]

    def room_for(self, values: Sequence[Value]) -> bool:
        """As `has_room`; the same answer for all ranks, which look one after the other."""
        if not self.together or not self._sharers:
            return self.has_room(values)
        first = self._sharers.place == 0
        found = self.has_room(values) if first else True
        self.together.gather(None)  # what had to go is gone when the others look
        found = found if first else self.has_room(values)
        return all(self.together.gather(found))

    def has_room(self, values: Sequence[Value]) -> bool:
        """Whether what is not stored yet fits into the store, after older things went."""
        entries = [self.entry(value) for value in values]
        needed = sum(
            len(self.missing(v)) * e.row.row_bytes for v, e in zip(values, entries, strict=True)
        )
        keep = [one.key for one in self._entries.values()]
        return not needed or self.cache.make_room(needed, keep=keep)

    def missing(self, value: Value) -> Rows:
        """Positions of the images whose value is not stored, or stored and damaged."""
        broken = self.skip | {image.id for image in self.broken}
        return lacking_rows(self.entry(value), self.ids, self._names if broken else (), broken)

    def _run(self, frontier: Frontier, values: list[Value], wanted: int, rows: Rows) -> int:
        """One pass; how many images went through. The first `wanted` values are what it is for.

        One process alone keeps all others from writing meanwhile, so that none computes the same.
        Ranks, which compute other images each, take turns with every commit.
        """
        entries = [self.entry(value) for value in values]
        with ExitStack() as stack:
            writers: dict[str, Writer] = {}
            alone = [] if self.together else entries
            for entry in sorted(alone, key=lambda one: one.key):  # all in the same order
                writers[entry.key] = stack.enter_context(entry.writing(self.on_wait))
            lacking = np.zeros(len(rows), dtype=bool)
            for entry in entries[:wanted]:  # others may have written meanwhile
                lacking |= entry.slots(self.ids[rows]) < 0
            rows = rows[lacking]
            if not len(rows):
                return 0
            keep = Keeper([(entry, writers.get(entry.key)) for entry in entries])
            with torch.inference_mode():
                return self._through.run(front_of(frontier, values), rows, keep)

    @property
    def _through(self) -> OnePass:
        return OnePass(
            self.images,
            self.indices,
            self.ids,
            self.size,
            self.cache,
            self.broken,
            workers=self.workers,
            strict=self.strict,
            augment=self.augment,
            on_progress=self.on_progress,
        )


def entry_key(value: Value, dtype: str) -> str:
    """The name of a value's entry: the same value in another precision is another entry."""
    return hashlib.sha256(f"{value.key} {dtype}".encode()).hexdigest()


def _distinct(values: Sequence[Value]) -> list[Value]:
    """Each value once: two networks with the same weights have one entry, and one writes there."""
    return list({value.key: value for value in values}.values())


def _sources(values: Iterable[Value]) -> frozenset[str]:
    return frozenset().union(*(value.sources for value in values))
