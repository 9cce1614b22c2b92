"""In plain words: whether the join of a run beats what else was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.report.study_verdict import limits_of, points, signed
from convgraft.studies import Comparison
from convgraft.studies.comparison import TIE, WIN
from convgraft.studies.design import RANDOM_FRONT
from convgraft.studies.summary import AVERAGE


def compared_verdict(comparisons: Sequence[Comparison]) -> str:
    """A sentence for each rival on the join that does best beside it; empty for no comparisons.

    A difference that chance may have made is called a tie. Comparisons are as
    `convgraft.studies.compare_run` makes them.
    """
    if not comparisons:
        return ""
    families: dict[str, list[Comparison]] = {}
    for one in comparisons:
        families.setdefault(one.against, []).append(one)
    best = [max(one, key=_rank) for one in families.values()]
    wins = any(one.outcome == WIN for one in best)
    told = " ".join(map(_sentence, best))
    where = f"On {best[0].images:,} test images."
    return f"{'' if wins else 'No join wins here: '}{told} {where}{limits_of(best[0])}"


def _rank(one: Comparison) -> tuple[bool, float]:
    return one.outcome == WIN, one.points.value


def _sentence(one: Comparison) -> str:
    rival, cost = _rival(one.against), f"at {one.cost:.1f}x its MACs"
    if one.outcome == WIN:
        return f"{one.arm} beats {rival} by {points(one.points)}, {cost}."
    if one.outcome == TIE:
        by = f"({signed(one.points)}, p = {one.corrected:.2g})"
        return f"{one.arm} is a tie with {rival} {by}, {cost}."
    return f"{one.arm} is {points(one.points)} below {rival}, {cost}."


def _rival(name: str) -> str:
    if name == RANDOM_FRONT:
        return f"{name}, a stitch to noise"
    kind = "the average vote" if name.startswith(AVERAGE) else "the best single network"
    return f"{name} ({kind})"


def verdict(rows: Sequence[Mapping[str, Any]], *, joins: Sequence[str]) -> str:
    """One sentence on the best join against the best of the other arms, by test top-1.

    For runs without predictions: it states the figures and claims no significance. Rows are as
    `convgraft.studies.Row.as_dict` gives them.
    """
    own = [row for row in rows if row["arm"] in joins]
    others = [row for row in rows if row["arm"] not in joins]
    if not own or not others:
        return ""
    join, rival = (max(group, key=lambda row: row["test"]["top1"]) for group in (own, others))
    difference = 100 * (join["test"]["top1"] - rival["test"]["top1"])
    cost = f"at {join['macs'] / rival['macs']:.1f}x its MACs"
    where = f"on {join['test']['images']} test images (one seed)"
    if difference > 0:
        return f"{join['arm']} is {difference:.1f} points above {rival['arm']}, {cost}, {where}."
    if difference == 0:
        return f"{join['arm']} and {rival['arm']} are equal, {cost}, {where}."
    below = f"{join['arm']} is {-difference:.1f} points below {rival['arm']}"
    return f"No join wins: {below}, {cost}, {where}."
