"""A task: labelled images, their split, and their pixels, decoded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from convgraft.data import BrokenImage, ImageSet, Pixels, Split, load_pixels

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned, and from what.

    Pixels are decoded part by part when first asked for, and kept: the test part is not touched
    before somebody asks for it.

    Attributes:
        size: side in pixels that images are resized to.
        strict: whether a broken image stops the run.
        on_progress: called with (what, done, total) while images are decoded.
        test_reads: how often the test part was asked for, by whom.
    """

    images: ImageSet
    split: Split
    size: int
    strict: bool = False
    workers: int = 2
    on_progress: Progress | None = None
    test_reads: list[str] = field(default_factory=list)
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
        return tuple(image for pixels in self._pixels.values() for image in pixels.broken)

    def pixels(self, part: str, *, reader: str = "") -> Pixels:
        """The decoded images of `train`, `val` or `test`."""
        if part == "test":
            self.test_reads.append(reader)
        if part not in self._pixels:
            report = self.on_progress
            self._pixels[part] = load_pixels(
                self.images,
                self.size,
                indices=self.split.part(part),
                strict=self.strict,
                workers=self.workers,
                on_progress=None if report is None else lambda d, n: report(f"read {part}", d, n),
            )
        return self._pixels[part]
