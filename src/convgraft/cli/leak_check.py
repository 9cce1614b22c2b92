"""Pictures that lie in several parts of a study's splits: looked for before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from convgraft.cli.console import progress, say
from convgraft.data import (
    ImageSet,
    Leak,
    Split,
    conflict_words,
    find_conflicts,
    find_leaks,
    image_digests,
    leak_words,
    split_images,
)
from convgraft.errors import UsageError
from convgraft.studies import Cell
from convgraft.training.task import Progress

Leaks = Mapping[str, Sequence[Leak]]  # by cell


def leaks_of(
    images: ImageSet,
    cells: Sequence[Cell],
    *,
    strict: bool = False,
    report: Progress | None = None,
) -> Leaks:
    """By cell, pictures in several of its parts; cells without any are left out.

    Real image sets hold the same file twice now and then, so that a random split parts a few; they
    are told, and with `strict` refused: raises UsageError.

    Args:
        report: called with (what, done, total).
    """
    splits = {c.name: split_images(images, seed=c.seed, limit=c.limit) for c in cells}
    used = {index for s in splits.values() for index in (*s.train, *s.val, *s.test)}
    told = partial(report, "copies among images") if report else None
    known = image_digests(images, used, told)
    found = {name: find_leaks(images, split, known=known) for name, split in splits.items()}
    found = {name: leaks for name, leaks in found.items() if leaks}
    if strict and found:
        name, leaks = next(iter(found.items()))
        raise UsageError(
            f"the parts of {images.location} are not apart ({name})",
            expected="every picture in one part alone",
            found=leak_words(leaks),
            hint="remove the copies, or leave --strict out to have them counted",
        )
    return found


def leak_notes(leaks: Leaks, cells: int) -> list[str]:
    """What a reader of the study has to know of its leaks, in a sentence or two; empty for none."""
    if not leaks:
        return []
    most = max(leaks, key=lambda name: sum(leak.tested for leak in leaks[name]))
    tested = sum(leak.tested for leak in leaks[most])
    example = next((leak for leak in leaks[most] if leak.tested), leaks[most][0])
    return [
        f"In {len(leaks)} of {cells} cells some pictures are in more than one part of the split, "
        f"at most {tested} of them in the test part (in {most}). One of them there: {example}."
    ]


def tell_copies(images: ImageSet, split: Split) -> None:
    """Say which pictures lie in several parts of a split, and which in several classes."""
    with progress() as report:
        told = partial(report, "copies among images")
        known = image_digests(images, [*split.train, *split.val, *split.test], told)
    if leaks := leak_words(find_leaks(images, split, known=known)):
        say(leaks)
    if conflicts := conflict_words(find_conflicts(images, known)):
        say(conflicts)
