"""The joins of one run against what they have to beat, image by image, by a study's statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convgraft.studies.arms import BASELINES
from convgraft.studies.comparison import Comparison
from convgraft.studies.design import RANDOM_FRONT
from convgraft.studies.predictions import Predictions
from convgraft.studies.statistics import Trial, holm, mcnemar, paired_bootstrap
from convgraft.studies.summary import AVERAGE

Row = Mapping[str, Any]
Read = Callable[[str], "Predictions | None"]


def compare_run(rows: Sequence[Row], joins: Sequence[str], read: Read) -> list[Comparison]:
    """Joins against the best average vote, the best single network and a random front.

    Best is by validation top-1, never by test. The figures are those of a study with one seed;
    p is corrected for the number of joins that are compared with the same rival.

    Args:
        rows: of all arms, as `Row.as_dict` gives them.
        read: the predictions of an arm by name; None where there are none. What has none is not
            compared.
    """
    own = [row for row in rows if row["arm"] in joins]
    found: list[Comparison] = []
    for rival in _rivals([row for row in rows if row["arm"] not in joins]):
        compared = [_compare(row, rival, read) for row in own]
        found += _corrected([one for one in compared if one is not None])
    return found


def _rivals(rows: Sequence[Row]) -> list[Row]:
    """The best average vote, the best single network, then the control of a stitch."""
    votes = [row for row in rows if row["arm"].startswith(f"{AVERAGE}-")]
    singles = [row for row in rows if row["arm"].partition("-")[0] in BASELINES]
    best = [max(group, key=_by_validation) for group in (votes, singles) if group]
    return [*best, *(row for row in rows if row["arm"] == RANDOM_FRONT)]


def _by_validation(row: Row) -> float:
    val = row.get("val")
    return -1.0 if val is None else val


def _compare(row: Row, rival: Row, read: Read) -> Comparison | None:
    """Two arms on the test images that both have answered; not corrected yet."""
    own, other = read(row["arm"]), read(rival["arm"])
    if own is None or other is None:
        return None
    ours, theirs = (dict(zip(one.ids, one.right.tolist(), strict=True)) for one in (own, other))
    shared = [image for image in ours if image in theirs]
    if not shared:
        return None
    right = (np.array([side[image] for image in shared], dtype=bool) for side in (ours, theirs))
    trial = Trial(np.arange(len(shared)), *right)
    difference = paired_bootstrap([trial])
    p = max(difference.p, mcnemar(trial.own, trial.other))
    return Comparison(
        arm=row["arm"],
        against=rival["arm"],
        limit=None,
        seeds=1,
        images=len(shared),
        points=difference.points,
        p=p,
        corrected=p,
        arms=1,
        cost=row["macs"] / rival["macs"],
    )


def _corrected(compared: Sequence[Comparison]) -> list[Comparison]:
    corrected = holm([one.p for one in compared])
    return [
        replace(one, corrected=float(p), arms=len(compared))
        for one, p in zip(compared, corrected, strict=True)
    ]
