"""What the joins of a study have to beat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convgraft.studies.design import RANDOM_FRONT
from convgraft.studies.distilled import DISTILLED
from convgraft.studies.equal_cost import EQUAL_COST
from convgraft.studies.summary import BEST, SINGLES, Line, best_by_validation, references

DEAR, BEST_DISTILLED = f"{BEST} {EQUAL_COST}", f"{BEST} {DISTILLED}"
OWN_FRONT = "own random front"
_ENDINGS = (f"-{RANDOM_FRONT}", "-random")  # of a stitch's control, after the stitch's own name


def rivals_of(lines: Sequence[Line], joins: Iterable[str]) -> dict[str, dict[str, list[Line]]]:
    """By rival and join, the rival's lines at one number of training images.

    The average vote comes first, then the best single network. Rivals that a study does not have,
    or that are none of a join's, have no lines.
    """
    joins = list(joins)
    (single, singles), (vote, votes) = references(lines)
    distilled = best_by_validation([line for line in lines if line["baseline"] == DISTILLED])
    return {
        vote: dict.fromkeys(joins, votes),
        single: dict.fromkeys(joins, singles),
        DEAR: {arm: as_dear(lines, arm) for arm in joins},
        BEST_DISTILLED: dict.fromkeys(joins, distilled),
        OWN_FRONT: {arm: as_random(lines, arm) for arm in joins},
    }


def as_dear(lines: Sequence[Line], arm: str) -> list[Line]:
    """In every cell the best single network, by validation, of at least an arm's cost.

    Those on larger images are taken as they are, also where they were not made large enough. None
    where no network was trained on larger images.
    """
    larger = [line for line in lines if line["baseline"] == EQUAL_COST]
    costs = {line["cell"]: line["macs"] for line in lines if line["arm"] == arm}
    dear = [
        line
        for line in lines
        if line["kind"] == "baseline"
        and line["baseline"] in SINGLES
        and line["macs"] >= costs.get(line["cell"], float("inf"))
    ]
    return best_by_validation([*larger, *dear]) if larger else []


def as_random(lines: Sequence[Line], arm: str) -> list[Line]:
    """The lines of a stitch's control, the same from a random front; none where there is none."""
    names = {f"{arm}{ending}" for ending in _ENDINGS}
    return [line for line in lines if line["kind"] == "control" and line["arm"] in names]
