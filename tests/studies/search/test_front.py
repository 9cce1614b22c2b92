"""The front and the choice, against a naive look at every pair."""

from __future__ import annotations

import random
from typing import Any

from convgraft.studies.search.front import best_single, choose, front


def line(val: float, macs: int, networks: int = 1) -> dict[str, Any]:
    return {"val": val, "macs": macs, "networks": list("abc"[:networks])}


def test_the_front_is_what_nothing_beats() -> None:
    drawn = random.Random(0)
    for _ in range(50):
        lines = [line(drawn.randint(0, 6) / 6, drawn.randint(1, 6)) for _ in range(12)]
        beaten = [
            any(
                (o["val"] >= one["val"] and o["macs"] <= one["macs"])
                and (o["val"], o["macs"]) != (one["val"], one["macs"])
                for o in lines
            )
            for one in lines
        ]
        naive = {
            (one["macs"], one["val"]) for one, lost in zip(lines, beaten, strict=True) if not lost
        }
        found = [(one["macs"], one["val"]) for one in front(lines)]
        assert found == sorted(naive)


def test_of_equals_the_cheaper_is_chosen_and_then_the_first() -> None:
    lines = [line(0.9, 5, 2), line(0.9, 3, 2), line(0.9, 3), line(0.8, 1)]
    assert choose(lines) is lines[1]
    assert best_single(lines) is lines[2]
    assert choose([]) is None
    assert best_single(lines[:2]) is None
