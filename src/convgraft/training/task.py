"""A task: labelled images, their split, and their pixels, decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.cache import Cache, default_cache
from convgraft.cache.frozen_pass import PassNotes
from convgraft.cache.pixels import cached_pixels
from convgraft.data import BrokenImage, ImageSet, Pixels, Split, Streamed, has_room

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned, and from what.

    Pixels are decoded part by part when first asked for, and kept: the test part is not touched
    before somebody asks for it. What frozen networks make of them lies in the store. Pixels of
    shards, of sets at URLs, and of parts that there is no room for are not kept, but decoded
    whenever they are asked for.

    Attributes:
        size: side in pixels that images are resized to.
        strict: whether a broken image stops the run.
        stream: whether pixels are not kept in any case.
        cache: the store of decoded pixels and of what frozen parts make of them; None: there is
            none, and everything is computed whenever it is needed.
        on_progress: called with (what, done, total) while images are decoded.
        test_reads: how often the test part was asked for, by whom.
        passes: what went through frozen networks so far.
        unstored: why frozen parts were not stored, where they were not.
    """

    images: ImageSet
    split: Split
    size: int
    strict: bool = False
    workers: int = 2
    cache: Cache | None = field(default_factory=default_cache)
    on_progress: Progress | None = None
    test_reads: list[str] = field(default_factory=list)
    passes: list[PassNotes] = field(default_factory=list)
    unstored: list[str] = field(default_factory=list)
    stream: bool = False
    _told: list[PassNotes] = field(default_factory=list)
    _pixels: dict[str, Pixels] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the main label column, in label order."""
        return self.images.classes

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """Class names by label column: `""` is the main one, then the others by name."""
        others = {name: column.classes for name, column in self.images.others.items()}
        return {"": self.classes, **others}

    @property
    def broken(self) -> tuple[BrokenImage, ...]:
        """Images that could not be decoded so far."""
        seen = [image for pixels in self._pixels.values() for image in pixels.broken]
        seen += [image for one in self.passes for image in one.broken]
        return tuple({image.id: image for image in seen}.values())

    @property
    def computed(self) -> dict[str, int]:
        """By source, how many images went through its frozen part so far."""
        return _summed(self.passes)

    def newly_computed(self) -> dict[str, int]:
        """The same since this was last asked for."""
        new = self.passes[len(self._told) :]
        self._told.extend(new)
        return _summed(new)

    def pixels(self, part: str, *, reader: str = "", stream: bool = False) -> Pixels:
        """The images of `train`, `val` or `test`: decoded, or such that decode when asked for.

        Args:
            part: which.
            reader: who looks at them, for the test part.
            stream: whether they are not to be kept, where they have not been read yet.
        """
        self.note_reader(part, reader)
        if part not in self._pixels:
            streams = stream or self.streams(part)
            self._pixels[part] = self._streamed(part) if streams else self._kept(part)
        return self._pixels[part]

    def streams(self, part: str) -> bool:
        """Whether the pixels of a part are not kept."""
        room = has_room(len(self.split.part(part)), self.size)
        return self.stream or self.images.streams or not room

    def _streamed(self, part: str) -> Streamed:
        return Streamed(
            self.images,
            self.size,
            indices=self.split.part(part),
            strict=self.strict,
            workers=self.workers,
            skip=[image.id for image in self.broken],
        )

    def _kept(self, part: str) -> Pixels:
        return cached_pixels(
            self.images,
            self.size,
            self.cache,
            indices=self.split.part(part),
            strict=self.strict,
            workers=self.workers,
            on_progress=self.told(f"read {part}"),
        )

    def labels(self, indices: Sequence[int] | NDArray[np.int64]) -> dict[str, Tensor]:
        """Labels of some images by column, int64 [N]; `""` is the main column, -1 is missing."""
        rows = list(indices)
        columns = {"": self.images.labels}
        columns |= {name: column.labels for name, column in self.images.others.items()}
        return {name: torch.from_numpy(labels[rows]) for name, labels in columns.items()}

    def note_reader(self, part: str, reader: str) -> None:
        """Somebody looks at a part; that is noted where it is the test part."""
        if part == "test":
            self.test_reads.append(reader)

    def told(self, what: str) -> Callable[[int, int], None] | None:
        """`on_progress` for one piece of work."""
        report = self.on_progress
        return None if report is None else lambda done, total: report(what, done, total)


def _summed(passes: Sequence[PassNotes]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for one in passes:
        found.update(one.computed)
    return dict(found)
