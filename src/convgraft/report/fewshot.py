"""A few-shot evaluation as a table and in words, from plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convgraft.report.tables import markdown_table

HOW = (
    "Means over episodes with their 95 % intervals by Student's t. All arms have the same "
    "episodes, and intervals of differences are of the differences within episodes, each for "
    "itself: of many comparisons some stand out by chance. The best single network is the one with "
    "the highest mean over the same episodes, which flatters it. Episodes share images, so "
    "intervals tell chance in drawing episodes from this set, not other sets."
)


def fewshot_header(data: Mapping[str, Any]) -> list[str]:
    """What stands above `fewshot_cells`."""
    return ["head: arm", *(_place(data, shots) for shots in data["shots"])]


def fewshot_cells(data: Mapping[str, Any]) -> list[list[str]]:
    """Accuracy in % of every arm under every head, a column for each number of shots."""
    rows: dict[str, list[str]] = {}
    for one in data["scores"]:
        name = f"{one['head']}: {one['arm']}"
        low, high = 100 * one["low"], 100 * one["high"]
        text = f"{100 * one['accuracy']:.2f} [{low:.1f}, {high:.1f}]"
        rows.setdefault(name, [name]).append(text)
    return list(rows.values())


def fewshot_words(data: Mapping[str, Any]) -> list[str]:
    """What the join is worth beside the best single network, then beside the vote: a line each."""
    lines: list[str] = []
    joins = [one for one in data["differences"] if one["arm"] == data["join"]]
    for head in data["heads"]:
        for is_vote in (False, True):
            chosen = [
                one
                for one in joins
                if one["head"] == head and (one["against"] == data["vote"]) is is_vote
            ]
            if chosen:
                lines.append(f"{head}: {data['join']} {_clauses(chosen, data)}")
    return lines


def fewshot_markdown(data: Mapping[str, Any]) -> str:
    """The page: what was evaluated, in words, the table, and how its figures are made."""
    networks = ", ".join(f"{one['name']} = {one['network']}" for one in data["networks"])
    what = (
        f"{networks}, frozen, on {data['images']} images of {data['classes']} classes at "
        f"{data['image_size']} pixels; {data['episodes']} episodes of {data['ways']} classes with "
        f"{data['queries']} queries each, seed {data['seed']}."
    )
    words = "\n".join(f"* {line}" for line in fewshot_words(data))
    table = markdown_table(fewshot_header(data), fewshot_cells(data))
    parts = [f"# Few-shot on {data['data']}", what, *([words] if words else []), table, HOW]
    return "\n\n".join(parts) + "\n"


def _clauses(chosen: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> str:
    """`beat X by 2.1 points [1.6, 2.6] at 5-way 1-shot; ...`."""
    return "; ".join(_clause(one, _place(data, one["shots"])) for one in chosen)


def _clause(one: Mapping[str, Any], place: str) -> str:
    if one["low"] > 0:
        points = _points(one["difference"], one["low"], one["high"])
        return f"beat {one['against']} by {points} at {place}"
    if one["high"] < 0:
        points = _points(-one["difference"], -one["high"], -one["low"])
        return f"lose to {one['against']} by {points} at {place}"
    points = _points(one["difference"], one["low"], one["high"])
    return f"show no difference to {one['against']} at {place} ({points})"


def _points(share: float, low: float, high: float) -> str:
    """`2.1 points [1.6, 2.6]`; where a bound is near zero, with two decimals to tell its side."""
    decimals = 1 if min(abs(low), abs(high)) >= 0.005 else 2
    value, *bounds = (f"{100 * one:.{decimals}f}" for one in (share, low, high))
    return f"{value} points [{', '.join(bounds)}]"


def _place(data: Mapping[str, Any], shots: int) -> str:
    return f"{data['ways']}-way {shots}-shot"
