"""Which of the networks are combined: the subsets looked at, and what a way may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from convgraft.studies.search.space import Way

MOST_NETWORKS = 5  # up to here every subset is looked at; of more, pairs, triples and all


@dataclass(frozen=True)
class Networks:
    """The networks that ways may take.

    Attributes:
        names: of all.
        whole: the subsets for ways that run them whole, e.g. those that are not too expensive.
    """

    names: tuple[str, ...]
    whole: Sequence[tuple[str, ...]]

    def of(self, way: Way) -> list[tuple[str, ...]]:
        """What one way may take; a way that cuts takes every pair, in both orders."""
        if way.cuts:
            return list(permutations(self.names, 2))
        return [one for one in self.whole if way.takes(len(one))]


def subsets(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The subsets of networks that are looked at, each in the order given, the smallest first.

    >>> subsets(["a", "b"])
    (('a',), ('b',), ('a', 'b'))
    """
    sizes = range(1, len(names) + 1)
    if len(names) > MOST_NETWORKS:
        sizes = [1, 2, 3, len(names)]
    return tuple(chosen for size in sizes for chosen in combinations(names, size))
