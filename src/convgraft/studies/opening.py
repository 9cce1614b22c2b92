"""Image sets on their way to another process: it opens them itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from convgraft.data import ImageSet, open_images
from convgraft.errors import DataError


@dataclass(frozen=True)
class DataPlace:
    """Where an image set lies, and how it is opened.

    Attributes:
        location: as somebody typed it.
        target: label columns; empty: the data's own.
        label_map: a file of further label columns.
        stream: whether decoded images are not kept in any case.
    """

    location: str
    target: tuple[str, ...] = ()
    label_map: Path | None = None
    stream: bool = False

    def open(self, on_progress: Callable[[str, int, int], None] | None = None) -> ImageSet:
        """The image set; raises DataError or UsageError."""
        images = open_images(
            self.location,
            target=list(self.target) or None,
            label_map=self.label_map,
            on_progress=on_progress,
        )
        return replace(images, streams=self.stream or images.streams)


@lru_cache(maxsize=2)
def same_images(place: DataPlace, fingerprint: str) -> ImageSet:
    """The image set at a place, opened once in this process; raises DataError for another one."""
    images = place.open()
    if images.fingerprint != fingerprint:
        raise DataError(
            f'the images at "{place.location}" are not the same on all machines',
            expected="the same files with the same labels as where the command runs",
            hint="the data on a path that all machines share",
        )
    return images
