"""Conflicts: the same picture under several labels, of which all but one are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convgraft.data.imageset import ImageSet
from convgraft.data.leaks import DIGITS
from convgraft.plan.shown import shown_name

NAMED = 3  # conflicts that are told by name where there are more


@dataclass(frozen=True)
class Conflict:
    """One picture that lies in several classes.

    Attributes:
        digest: sha256 of its encoded bytes, 64 hex digits, as `sha256sum FILE` prints it.
        places: class and image id of each copy.
    """

    digest: str
    places: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """`sha256 9f86d081884c: cat cat/1.jpg, dog dog/7.jpg`; the sum's first digits."""
        places = ", ".join(f"{shown_name(a)} {shown_name(b)}" for a, b in self.places)
        return f"sha256 {self.digest[:DIGITS]}: {places}"


def find_conflicts(images: ImageSet, known: Mapping[int, str]) -> tuple[Conflict, ...]:
    """Pictures with the same encoded bytes and several labels in the main column.

    Copies without a label are no conflict. Not seen are pictures that were saved again.

    Args:
        known: by index, what `image_digests` found.
    """
    copies: dict[str, list[int]] = {}
    for index, digest in sorted(known.items()):
        if images.labels[index] >= 0:
            copies.setdefault(digest, []).append(index)
    return tuple(
        Conflict(digest, tuple(_place(images, index) for index in found))
        for digest, found in copies.items()
        if len({int(images.labels[index]) for index in found}) > 1
    )


def conflict_words(conflicts: Sequence[Conflict]) -> str:
    """What was found, in lines; empty for nothing."""
    if not conflicts:
        return ""
    pictures = "1 picture has" if len(conflicts) == 1 else f"{len(conflicts)} pictures have"
    more = len(conflicts) - NAMED
    return "\n".join([
        f"{pictures} several labels, of which one at most is right:",
        *(f"  {conflict}" for conflict in conflicts[:NAMED]),
        *([f"  and {more} more"] if more > 0 else []),
    ])  # fmt: skip


def _place(images: ImageSet, index: int) -> tuple[str, str]:
    return images.classes[int(images.labels[index])], images.ids[index]
