"""In plain words: whether a join beats everything else that was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def verdict(rows: Sequence[Mapping[str, Any]], *, joins: Sequence[str]) -> str:
    """One sentence on the best join against the best of the other arms, by test top-1.

    One seed and one split: it states the figures and claims no significance. Rows are as
    `convgraft.studies.Row.as_dict` gives them.
    """
    own = [row for row in rows if row["arm"] in joins]
    others = [row for row in rows if row["arm"] not in joins]
    if not own or not others:
        return ""
    join, rival = (max(group, key=lambda row: row["test"]["top1"]) for group in (own, others))
    points = 100 * (join["test"]["top1"] - rival["test"]["top1"])
    cost = f"at {join['macs'] / rival['macs']:.1f}x its MACs"
    where = f"on {join['test']['images']} test images (one seed)"
    if points > 0:
        return f"{join['arm']} is {points:.1f} points above {rival['arm']}, {cost}, {where}."
    if points == 0:
        return f"{join['arm']} and {rival['arm']} are equal, {cost}, {where}."
    below = f"{join['arm']} is {-points:.1f} points below {rival['arm']}"
    return f"No join wins: {below}, {cost}, {where}."
