"""Episodes: small tasks drawn from a labelled set, the same ones for every network and head.

An episode draws its classes, and of each class query images and support images without overlap
(Vinyals et al., Matching Networks for One Shot Learning, 2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convgraft.data.seeding import shuffled
from convgraft.errors import UsageError

Rows = NDArray[np.int64]
SHOWN = 3  # classes that an error names


@dataclass(frozen=True, eq=False)
class Episodes:
    """N-way k-shot episodes; images are rows of the labels that they were drawn from.

    Attributes:
        classes: [E, ways], labels of the classes of each episode, all different.
        support: [E, ways, shots], images to learn from.
        queries: [E, ways, Q], images to recognise.
    """

    classes: Rows
    support: Rows
    queries: Rows

    def __len__(self) -> int:
        """The number of episodes."""
        return len(self.classes)

    @property
    def ways(self) -> int:
        """Classes of an episode."""
        return self.classes.shape[1]

    @property
    def images_each(self) -> int:
        """Images of an episode."""
        return self.ways * (self.support.shape[2] + self.queries.shape[2])

    def with_shots(self, shots: int) -> Episodes:
        """The same episodes with the first support images of each class alone."""
        return Episodes(self.classes, self.support[:, :, :shots], self.queries)

    def chunks(self, size: int) -> Iterator[Episodes]:
        """The episodes in order, at most so many at once."""
        for start in range(0, len(self), size):
            here = slice(start, start + size)
            yield Episodes(self.classes[here], self.support[here], self.queries[here])


def draw_episodes(
    labels: Rows, *, ways: int, shots: int, queries: int, count: int, seed: int
) -> Episodes:
    """Episodes whose classes are equally likely, with as many images of each class.

    Each episode has random numbers of its own: fewer episodes are the first of more, and fewer
    shots have the same queries and the first of the support images.

    Args:
        labels: [N], of all images; each class needs `shots + queries` of them.
    """
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = [_draw(groups, ways, shots + queries, seed, number) for number in range(count)]
    images = np.stack([rows for _, rows in drawn])
    chosen = np.unique(labels)[np.stack([classes for classes, _ in drawn])]
    return Episodes(chosen, images[:, :, queries:], images[:, :, :queries])


def _draw(
    groups: Sequence[Rows], ways: int, images: int, seed: int, number: int
) -> tuple[Rows, Rows]:
    """Places of the classes [ways], and images [ways, images] of one episode."""
    classes = shuffled(len(groups), seed, number, 0)[:ways]
    rows = [
        groups[place][shuffled(len(groups[place]), seed, number, 1 + place)[:images]]
        for place in classes.tolist()
    ]
    return classes, np.stack(rows)


def check_enough(
    labels: Rows, classes: Sequence[str], *, ways: int, shots: int, queries: int
) -> None:
    """Raise UsageError where a set has too few classes, or too few images of one.

    Args:
        labels: [N], indices into the names of the classes.
        shots: the most that any episode takes.
    """
    if ways > len(classes):
        raise UsageError(
            "an episode has more classes than the set",
            expected=f"--ways from 2 to {len(classes)}",
            found=f"--ways {ways}",
        )
    counts = np.bincount(labels, minlength=len(classes))
    needed = shots + queries
    short = [(int(counts[n]), name) for n, name in enumerate(classes) if counts[n] < needed]
    if not short:
        return
    short.sort()
    named = ", ".join(f"{name} has {count}" for count, name in short[:SHOWN])
    raise UsageError(
        f"{len(short)} of {len(classes)} classes have too few images for an episode",
        expected=f"{needed} of each: {shots} to learn from, {queries} to recognise",
        found=named + (", ..." if len(short) > SHOWN else ""),
        hint=_fewer(short[0][0], shots),
    )


def _fewer(fewest: int, shots: int) -> str:
    if fewest > shots:
        return f"--queries {fewest - shots} or fewer"
    return f"fewer --shots (of the smallest class there are {fewest} images), or more images"
