"""Leaks: the same picture in several parts of a split, so that a test is no test."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from convgraft.data.broken import BrokenImage
from convgraft.data.imageset import PARTS, ImageSet
from convgraft.data.split import Split

TOLD = 100  # images between two words of progress
RUNS = 64  # shards or row groups that are looked at beforehand
NAMED = 3  # leaks that are told by name where there are more
DIGITS = 12  # of a sum, where it is told to people


@dataclass(frozen=True)
class Leak:
    """One picture that lies in several parts.

    Attributes:
        digest: sha256 of its encoded bytes, 64 hex digits, as `sha256sum FILE` prints it.
        places: part and image id of each copy; training first, the test part last.
    """

    digest: str
    places: tuple[tuple[str, str], ...]

    @property
    def tested(self) -> bool:
        """Whether it is in the test part."""
        return any(part == "test" for part, _ in self.places)

    def __str__(self) -> str:
        """`sha256 9f86d081884c: train cat/1.jpg, test dog/7.jpg`; the sum's first digits."""
        places = ", ".join(f"{part} {image}" for part, image in self.places)
        return f"sha256 {self.digest[:DIGITS]}: {places}"


def find_leaks(
    images: ImageSet, split: Split, *, known: Mapping[int, str] | None = None
) -> tuple[Leak, ...]:
    """Pictures with the same encoded bytes in two or more parts, by the place of their first copy.

    Every image of the split is read once, one after the other, and not decoded. Not seen are: a
    picture that was saved again, resized or cropped (its bytes differ), two pictures of one scene,
    copies within one part, images that cannot be read, and what a network saw before it came here.

    Args:
        known: what `image_digests` found, at least for the images of the split; read now by
            default.
    """
    parts = {index: part for part in PARTS for index in split.part(part)}
    known = image_digests(images, parts) if known is None else known
    copies: dict[str, list[int]] = {}
    for index in parts:
        if index in known:
            copies.setdefault(known[index], []).append(index)
    return tuple(
        Leak(digest, tuple((parts[index], images.ids[index]) for index in found))
        for digest, found in copies.items()
        if len({parts[index] for index in found}) > 1
    )


def image_digests(
    images: ImageSet,
    indices: Collection[int],
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[int, str]:
    """By index, the sha256 of an image's encoded bytes; without images that cannot be read.

    Args:
        on_progress: called now and then with how many images of how many were read.
    """
    found: dict[int, str] = {}
    chosen = sorted(indices)
    next_of = _fetching(images, chosen)
    for number, index in enumerate(chosen, 1):
        next_of(number - 1)
        if on_progress and (number % TOLD == 0 or number == len(indices)):
            on_progress(number, len(indices))
        try:
            raw = images.raw(index)
        except BrokenImage:
            continue
        if len(raw):
            data = raw if isinstance(raw, bytes) else raw.tobytes()
            found[index] = hashlib.sha256(data).hexdigest()
    return found


def _fetching(images: ImageSet, chosen: Sequence[int]) -> Callable[[int], None]:
    """Called with the place of each image: what lies far away comes before it is read."""
    if images.layout is None or images.layout.fetch is None:
        return lambda place: None
    fetch, runs = images.layout.fetch, images.layout.run_of(chosen).tolist()
    order = list(dict.fromkeys(runs))

    def at(place: int) -> None:
        if place == 0 or runs[place] != runs[place - 1]:
            number = bisect_left(order, runs[place])
            fetch(order[number : number + 1], order[number + 1 : number + RUNS])

    return at


def leak_words(leaks: Sequence[Leak]) -> str:
    """What was found, in lines; empty for nothing."""
    if not leaks:
        return ""
    tested = sum(leak.tested for leak in leaks)
    pictures = "1 picture is" if len(leaks) == 1 else f"{len(leaks)} pictures are"
    more = len(leaks) - NAMED
    return "\n".join([
        f"{pictures} in more than one part of the split, {tested} of them in the test part:",
        *(f"  {leak}" for leak in leaks[:NAMED]),
        *([f"  and {more} more"] if more > 0 else []),
    ])  # fmt: skip
