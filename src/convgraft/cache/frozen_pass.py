"""The frozen pass: what is frozen runs once over the images that are not stored yet.

It is shared: what one run has computed, every other one finds. A pass that is killed goes on where
its last commit was.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from convgraft.cache.entry import Entry
from convgraft.cache.fast import fast_version
from convgraft.cache.folder import Cache
from convgraft.cache.frontier import Frontier
from convgraft.cache.halves import in_halves
from convgraft.cache.pixel_stream import stream_pixels
from convgraft.cache.precision import RowType
from convgraft.cache.sharing import Sharers, Together, sharers_of
from convgraft.cache.split import front_of
from convgraft.cache.streams import run_streams, streams_on
from convgraft.cache.tuning import on_threads, tune
from convgraft.cache.values import Value, companions
from convgraft.cache.writer import Writer
from convgraft.data import BrokenImage, ImageSet, image_ids
from convgraft.errors import RunError

COMMIT_BYTES = 64 * 2**20
COMMIT_SECONDS = 15.0
FEW = 256  # images for which making the network fast takes longer than it saves, stored or not
BATCH = 32
MANY = 50_000  # images from which it pays to time every way and batch, and to compile for a GPU
SAMPLE = 8  # images that the ways of computing are compared on
COMMITS = 4  # entries that are written at the same time: most of it is waiting for the disk

Ids = NDArray[np.uint64]
Batch = tuple[tuple[int, ...], Tensor]  # indices of images, and their pixels
Rows = NDArray[np.int64]
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
            groups = self._groups(values)
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

    def missing(self, value: Value) -> NDArray[np.int64]:
        """Positions of the images whose value is not stored, or stored and damaged."""
        entry = self.entry(value)
        slots = entry.slots(self.ids)
        entry.verify(slots[slots >= 0])
        broken = self.skip | {image.id for image in self.broken}
        rows = np.flatnonzero(entry.slots(self.ids) < 0)
        if not broken:
            return rows
        names = self.images.ids
        left = [row for row in rows.tolist() if names[self.indices[row]] not in broken]
        return np.array(left, dtype=np.int64)

    def _groups(self, values: Sequence[Value]) -> list[tuple[list[Value], NDArray[np.int64]]]:
        """Images that lack the same values go through one pass, so that none goes twice."""
        lacking = np.zeros((len(values), len(self.ids)), dtype=bool)
        for number, value in enumerate(values):
            lacking[number, self.missing(value)] = True
        which, group_of = np.unique(lacking, axis=1, return_inverse=True)
        return [
            (
                [values[number] for number in np.flatnonzero(lacks).tolist()],
                np.flatnonzero(group_of == group),
            )
            for group, lacks in enumerate(which.T)
            if lacks.any()
        ]

    def _run(
        self, frontier: Frontier, values: list[Value], wanted: int, rows: NDArray[np.int64]
    ) -> int:
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
            keep = _Keeper([(entry, writers.get(entry.key)) for entry in entries])
            with torch.inference_mode():
                return self._compute(front_of(frontier, values), rows, keep)

    def _compute(self, front: fx.GraphModule, rows: NDArray[np.int64], keep: _Keeper) -> int:
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


class RandomFront(Exception):  # noqa: N818 - no person reads it
    """What is frozen gives another value each time: there is nothing to store."""


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


class _Keeper:
    """Gathers rows and commits them to their entries, many at a time."""

    def __init__(self, places: Sequence[tuple[Entry, Writer | None]]) -> None:
        self.places = places
        self._ids: list[Ids] = []
        self._values: list[list[Tensor]] = [[] for _ in places]
        self._bytes, self._began = 0, time.monotonic()

    def add(self, ids: Ids, values: Iterable[Tensor]) -> None:
        self._ids.append(ids)
        for column, value in zip(self._values, values, strict=True):
            column.append(value)
            self._bytes += value.nbytes
        if self._bytes > COMMIT_BYTES or time.monotonic() - self._began > COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        if not self._ids:
            return
        commit = partial(_commit, np.concatenate(self._ids))
        with ThreadPoolExecutor(COMMITS, "commit") as pool:
            for _ in pool.map(commit, self.places, self._values):
                pass
        self._ids, self._values = [], [[] for _ in self.places]
        self._bytes, self._began = 0, time.monotonic()


def _commit(ids: Ids, place: tuple[Entry, Writer | None], column: Sequence[Tensor]) -> None:
    """Append what an entry does not have yet of the values of some images."""
    entry, writer = place
    if writer is None:
        with entry.writing() as its_turn:
            _commit(ids, (entry, its_turn), column)
        return
    new = entry.slots(ids) < 0
    if new.any():
        writer.append(ids[new], torch.cat(tuple(column))[torch.from_numpy(new)])


def entry_key(value: Value, dtype: str) -> str:
    """The name of a value's entry: the same value in another precision is another entry."""
    return hashlib.sha256(f"{value.key} {dtype}".encode()).hexdigest()


def _distinct(values: Sequence[Value]) -> list[Value]:
    """Each value once: two networks with the same weights have one entry, and one writes there."""
    return list({value.key: value for value in values}.values())


def _sources(values: Iterable[Value]) -> frozenset[str]:
    return frozenset().union(*(value.sources for value in values))
