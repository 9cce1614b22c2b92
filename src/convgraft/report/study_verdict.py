"""In plain words: which arms beat the average vote and the best single network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.report.tables import markdown_table
from convgraft.studies import Comparison, Interval
from convgraft.studies.comparison import TIE, WIN
from convgraft.studies.rivals import BEST_DISTILLED, DEAR, OWN_FRONT
from convgraft.studies.summary import AVERAGE

HEADER = ("arm", "against", "training images", "seeds", "points", "p", "cost", "is a")
ABOUT_EQUAL = 1.005  # times the rival's cost
FEW_IMAGES = 300  # below, the interval of a point or two is wider than what is looked for
HOW_COMPARED = (
    "Points are differences of test top-1 on the same images and seeds, their 95 % intervals "
    "the wider ones of a bootstrap over images and of Student's t over seeds beside it. p is the "
    "larger one of the bootstrap's and of McNemar's exact test, corrected by Holm for the "
    "number of arms that are compared with the same rival at one number of training images, not "
    "for the number of rivals and limits, nor for seeds that were added until something won. "
    "Where seeds draw their training images from one set they share some, so that their "
    "differences are alike and the intervals over seeds somewhat too narrow. A difference whose "
    "interval holds 0, or whose p is 0.05 or more, is a tie; so is a win of an arm that did not "
    "answer under every seed, or whose rival did not. Cost is multiply-accumulates over the "
    "rival's."
)


def study_verdict(comparisons: Sequence[Comparison]) -> list[str]:
    """For each number of training images and each rival, what beats it and by how much.

    >>> study_verdict([])
    []
    """
    families: dict[tuple[int | None, str], list[Comparison]] = {}
    for one in comparisons:
        families.setdefault((one.limit, one.against), []).append(one)
    return [_family(family) for family in families.values()]


def _family(family: Sequence[Comparison]) -> str:
    if family[0].against == OWN_FRONT:
        return _fronts(family)
    best = max(family, key=lambda one: (one.outcome == WIN, one.points.value))
    rival, words = _rival(best), _limit_words(best.limit)
    if best.outcome == WIN:
        others = [one.arm for one in family if one.outcome == WIN and one is not best]
        told = f"{words}, {best.arm} beats {rival} by {points(best.points)} at {_cost(best)}."
        also = f" So do, by less, {', '.join(others)}." if others else ""
        return f"{told}{also}{limits_of(best)}"
    told = f"{words}, no join beats {rival} here"
    told += f": {best.arm}, the best of {best.arms}," if best.arms > 1 else f": {best.arm}"
    where = "above" if best.points.value > 0 else "below"
    if best.outcome == TIE:
        told += f" is a tie with it {_tied(best)}"
    else:
        told += f" is {points(best.points)} {where} it{_answered(best, ' ({})')}"
    return f"{told}, at {_cost(best)}.{limits_of(best)}"


def _fronts(family: Sequence[Comparison]) -> str:
    """Stitches beside their controls: each is told that is no better."""
    better = [f"{one.arm} by {points(one.points)}" for one in family if one.outcome == WIN]
    none = [f"{one.arm} {_tied(one)}" for one in family if one.outcome != WIN]
    told, rival = [], rival_words(OWN_FRONT)
    if better:
        told.append(f"better than {rival}: {', '.join(better)}.")
    if none:
        told.append(f"no better than {rival}: {', '.join(none)}.")
    words = _limit_words(family[0].limit)
    cautions = dict.fromkeys(filter(None, map(limits_of, family)))
    return " ".join(f"{words}, {one}" for one in told) + "".join(cautions)


def _tied(one: Comparison) -> str:
    """Why it is a tie, in brackets."""
    return f"({_answered(one, '{}; ')}{signed(one.points)}, p = {one.corrected:.2g})"


def _answered(one: Comparison, form: str) -> str:
    """In a form with a place for it, that not every seed has answers; empty where all have."""
    return "" if one.complete else form.format(f"answered under {_seeds(one)} seeds only")


def _seeds(one: Comparison) -> str:
    """`5`, or `3 of 5` where the study has more."""
    return str(one.seeds) if one.complete else f"{one.seeds} of {one.asked}"


def rival_words(against: str) -> str:
    """`average vote` as `the average vote`, `best single` as `the best single network`.

    >>> rival_words("best equal-cost")
    'the best single network of at least equal cost'
    """
    if against == DEAR:
        return "the best single network of at least equal cost"
    if against == BEST_DISTILLED:
        return "the best distilled network"
    if against == OWN_FRONT:
        return "the same stitch from a random front"
    return "the average vote" if against.startswith(AVERAGE) else "the best single network"


def _rival(one: Comparison) -> str:
    """The rival's words; images that could not be made large enough do not make a network dear."""
    if one.against == DEAR and one.cost > ABOUT_EQUAL:
        return "the best single network on larger images"
    return rival_words(one.against)


def points(interval: Interval) -> str:
    """A difference that counts in points of top-1, both ways as a positive number.

    >>> points(Interval(-0.011, -0.018, -0.004))
    '1.1 points [0.4, 1.8]'
    """
    low, high = interval.low or 0.0, interval.high or 0.0
    if interval.value < 0:
        interval = Interval(-interval.value, -high, -low)
    return signed(interval).removeprefix("+")


def signed(interval: Interval) -> str:
    """A difference in points of top-1, with its sign.

    >>> signed(Interval(0.003, -0.004, 0.01))
    '+0.3 points [-0.4, 1.0]'
    """
    low, high = 100 * (interval.low or 0.0), 100 * (interval.high or 0.0)
    digits = 2 if any(0 < abs(bound) < 0.1 for bound in (low, high)) else 1
    return f"{100 * interval.value:+.{digits}f} points [{low:.{digits}f}, {high:.{digits}f}]"


def comparison_cells(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """The cells of every comparison, below `HEADER`."""
    return [
        [
            one.arm,
            one.against,
            "all" if one.limit is None else str(one.limit),
            _seeds(one),
            signed(one.points).replace(" points", ""),
            f"{one.corrected:.2g}",
            f"{one.cost:.1f}x",
            one.outcome,
        ]
        for one in comparisons
    ]


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Every comparison as a line of a Markdown table."""
    return markdown_table(HEADER, comparison_cells(comparisons))


def failure_words(failed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which arms failed and why, a sentence each, for lines as `failures` gives them."""
    return [f"{line['arm']} failed in {line['cell']}: {line['failed']}" for line in failed]


def _limit_words(limit: int | None) -> str:
    return "With all training images" if limit is None else f"With {limit} training images"


def _cost(one: Comparison) -> str:
    return f"{one.cost:.1f}x its cost"


def limits_of(one: Comparison) -> str:
    """What is too little to rely on, as sentences; empty for nothing."""
    told = ""
    if one.seeds == 1:
        told += " One seed only: how much training by chance goes better or worse is not in it."
    if one.seeds == 2:
        told += " Two seeds only: Student's t is 12.7 then, so that they rarely tell arms apart."
    if one.images < FEW_IMAGES:
        told += f" Only {one.images} test images: one of them is {100 / one.images:.1f} points."
    return told
