"""Arms against what they have to beat, image by image, from the predictions that were kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convgraft.studies.predictions import Predictions
from convgraft.studies.rivals import rivals_of
from convgraft.studies.statistics import (
    Interval,
    Trial,
    holm,
    mcnemar_over_seeds,
    paired_bootstrap,
)
from convgraft.studies.summary import by_limit, seeds_at

WIN, TIE, LOSS = "win", "tie", "loss"
LEVEL = 0.05  # of p
Line = Mapping[str, Any]
Read = Callable[[str, str], "Predictions | None"]
Rights = Mapping[str, bool]  # by image id, whether an arm was right


@dataclass(frozen=True)
class Comparison:
    """One arm's top-1 against another's, at one number of training images.

    Attributes:
        arm, against: which; `against` is `average vote`, `best single`, `best equal-cost` (a single
            network that costs as much) or `best distilled`, each chosen by validation in every
            cell; or `own random front`, a stitch's control. Of a run it is the rival's name.
        limit: as asked; None: all images.
        seeds: how many seeds both were tested under.
        images: how many different test images that were.
        points: the difference, as a share, with its interval by `paired_bootstrap`.
        p: of no difference: the larger of the bootstrap's and McNemar's.
        corrected: the same by Holm for all `arms` that are compared with this rival here.
        cost: multiply-accumulates over the rival's.
        asked: how many seeds the study has here; 0 where nobody said.
    """

    arm: str
    against: str
    limit: int | None
    seeds: int
    images: int
    points: Interval
    p: float
    corrected: float
    arms: int
    cost: float
    asked: int = 0

    @property
    def complete(self) -> bool:
        """Whether both answered under every seed that the study has."""
        return self.seeds >= self.asked

    @property
    def outcome(self) -> str:
        """`win`, `tie` or `loss`.

        A tie where the interval holds 0 or the corrected p is 0.05 or more; and in place of a win
        where one of both has no answers under some seed: what it came to under the others may be
        why it won.
        """
        low, high = self.points.low or 0.0, self.points.high or 0.0
        if low <= 0 <= high or self.corrected >= LEVEL:
            return TIE
        if low > 0:
            return WIN if self.complete else TIE
        return LOSS

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "outcome": self.outcome}


def compare_arms(lines: Sequence[Line], read: Read) -> list[Comparison]:
    """Every join against the average vote and the best single network, at every limit.

    Where single networks were also trained on larger images, to cost as much as the dearest join,
    joins are compared with the best network of at least their own cost as well; where some were
    distilled, with the best of these. A stitch is compared with the same from a random front.

    Args:
        lines: a study's; those of failed arms are left out.
        read: the predictions of an arm in a cell, both by name; None where there are none. What
            has none is not compared.
    """

    @cache
    def rights(cell: str, arm: str) -> Rights | None:
        kept = read(cell, arm)
        return None if kept is None else dict(zip(kept.ids, kept.right.tolist(), strict=True))

    found: list[Comparison] = []
    for here in by_limit(lines):
        asked = seeds_at(lines, here[0]["limit"])
        joins = dict.fromkeys(line["arm"] for line in here if line["kind"] == "join")
        for name, theirs in rivals_of(here, joins).items():
            compared = [_compare(arm, here, name, theirs[arm], rights) for arm in joins]
            known = [replace(one, asked=asked) for one in compared if one is not None]
            found += _corrected(known)
    return found


def _compare(
    arm: str,
    lines: Sequence[Line],
    against: str,
    rivals: Sequence[Line],
    rights: Callable[[str, str], Rights | None],
) -> Comparison | None:
    """One arm against one rival, not corrected yet; None where no seed has both."""
    rival_in = {line["cell"]: line for line in rivals}
    pairs: list[tuple[Line, Line]] = []
    answers: list[tuple[Rights, Rights]] = []
    for line in lines:
        if line["arm"] != arm or line["cell"] not in rival_in:
            continue
        rival = rival_in[line["cell"]]
        own, other = rights(line["cell"], arm), rights(line["cell"], rival["arm"])
        if own and other and own.keys() & other.keys():
            pairs.append((line, rival))
            answers.append((own, other))
    if not pairs:
        return None
    trials = _trials(answers)
    difference = paired_bootstrap(trials)
    p = max(difference.p, mcnemar_over_seeds(trials))
    return Comparison(
        arm=arm,
        against=against,
        limit=pairs[0][0]["limit"],
        seeds=len(pairs),
        images=len(np.unique(np.concatenate([trial.images for trial in trials]))),
        points=difference.points,
        p=p,
        corrected=p,
        arms=1,
        cost=fmean(own["macs"] for own, _ in pairs) / fmean(other["macs"] for _, other in pairs),
    )


def _trials(answers: Sequence[tuple[Rights, Rights]]) -> list[Trial]:
    """Images by number instead of id, the same one under every seed."""
    numbers: dict[str, int] = {}
    found: list[Trial] = []
    for own, other in answers:
        shared = [image for image in own if image in other]
        places = [numbers.setdefault(image, len(numbers)) for image in shared]
        found.append(Trial(np.array(places, np.int64), _bools(own, shared), _bools(other, shared)))
    return found


def _bools(rights: Rights, images: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([rights[image] for image in images], dtype=bool)


def _corrected(compared: Sequence[Comparison]) -> list[Comparison]:
    corrected = holm([one.p for one in compared])
    return [
        replace(one, corrected=float(p), arms=len(compared))
        for one, p in zip(compared, corrected, strict=True)
    ]
