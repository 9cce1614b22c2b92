"""Taps of two networks paired by likeness, for strategies that have training images at hand."""

from __future__ import annotations

from convgraft.errors import UsageError
from convgraft.match import Pairing, match_taps, pair_by_likeness
from convgraft.strategies.ingredients import Ingredients

SHAPE, LIKENESS = "shape", "likeness"
IMAGES = 2000


def by_likeness(given: Ingredients) -> bool:
    """Whether taps are to be paired by likeness, and can be; raises UsageError for other words."""
    given.needs(
        given.options.pairs in (SHAPE, LIKENESS),
        "taps are paired by shape or by likeness",
        f"{SHAPE} or {LIKENESS}",
        given.options.pairs,
    )
    return given.options.pairs == LIKENESS and given.images is not None


def likely_pairs(given: Ingredients, left: str, right: str) -> list[Pairing]:
    """The blocks of two sources that are alike on the first training images, in order.

    Raises UsageError where none are, or where there are too few images to tell.
    """
    taps = [[tap for tap in given.blocks(name) if tap.is_map] for name in (left, right)]
    assert given.images is not None
    images = given.images()[:IMAGES]
    one, other = given.sources[left], given.sources[right]
    matching = match_taps(one, other, images, *taps, image_size=given.image_size)
    pairs = pair_by_likeness(matching, names=(left, right))
    if not pairs:
        raise UsageError(
            f'no blocks of "{left}" and "{right}" are alike on these images',
            hint=f"--pairs {SHAPE}, or other --taps",
        )
    return pairs
