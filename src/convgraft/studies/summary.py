"""From a study's lines to figures per arm: means, intervals, and error ratios paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from convgraft.studies.failures import finished
from convgraft.studies.latency import LATENCY
from convgraft.studies.statistics import CONFIDENCE, RESAMPLES, Interval, student_interval

BEST, AVERAGE = "best", "average"
BEST_SINGLE, AVERAGE_VOTE = f"{BEST} single", f"{AVERAGE} vote"  # what arms must beat
SINGLES = ("probe", "finetune", "own")  # all of them, for the best single network

MEASURES = ("balanced", "nll", "ece")  # of the test part, beside top-1
Line = Mapping[str, Any]
Key = tuple[int | None, int]  # limit and seed
_Errors = tuple[str, Mapping[Key, float]]  # whose, and by cell


@dataclass(frozen=True)
class Ratio:
    """Mean error over the mean error of something else, on the same seeds.

    Attributes:
        against: whose error it is divided by.
        ratio: below 1 is better; the interval is by bootstrap over seeds, pairs kept together.
        seeds: how many seeds both have.
    """

    against: str
    ratio: Interval
    seeds: int


@dataclass(frozen=True)
class ArmSummary:
    """One arm at one number of training images, over its seeds.

    Attributes:
        limit: as asked; None: all images.
        training_images: how many that were, on average.
        seeds: under how many it has a result.
        top1: mean test top-1, with Student's interval over seeds.
        single: errors against the best single network, chosen in every cell by validation top-1.
        vote: errors against the best average vote of single networks, chosen so too.
        macs, parameters, trainable, seconds: means.
        balanced, nll, ece: means on the test part; None where lines do not tell them.
        latency, latency_of_many: milliseconds that an image took alone, and in a batch of 32, on
            the machine that measured it; None where nobody did.
        asked: how many seeds the study has there; 0 where nobody said.
    """

    arm: str
    kind: str
    limit: int | None
    training_images: float
    seeds: int
    top1: Interval
    single: Ratio | None
    vote: Ratio | None
    macs: float
    parameters: float
    trainable: float
    seconds: float
    balanced: float | None = None
    nll: float | None = None
    ece: float | None = None
    latency: float | None = None
    latency_of_many: float | None = None
    asked: int = 0


def summarise(lines: Sequence[Line]) -> list[ArmSummary]:
    """Every arm at every limit, limits rising, arms in the order in which they first came.

    Lines of arms that failed are left out; that a study has a seed is told by them too.
    """
    found: list[ArmSummary] = []
    for here in by_limit(lines):
        asked = seeds_at(lines, here[0]["limit"])
        single, vote = ((name, _errors(theirs)) for name, theirs in references(here))
        for arm in dict.fromkeys(line["arm"] for line in here):
            own = [line for line in here if line["arm"] == arm]
            found.append(_summary(own, single, vote, asked))
    return found


def _summary(own: Sequence[Line], single: _Errors, vote: _Errors, asked: int) -> ArmSummary:
    def mean(key: str) -> float:
        return fmean(line[key] for line in own)

    first = own[0]
    return ArmSummary(
        arm=first["arm"],
        kind=first["kind"],
        limit=first["limit"],
        training_images=mean("training_images"),
        seeds=len(own),
        top1=student_interval([line["test"]["top1"] for line in own]),
        single=_ratio(_errors(own), *single),
        vote=_ratio(_errors(own), *vote),
        macs=mean("macs"),
        parameters=mean("parameters"),
        trainable=mean("trainable"),
        seconds=mean("seconds"),
        **{name: _mean(line["test"].get(name) for line in own) for name in MEASURES},
        latency=_mean(line.get(LATENCY, {}).get("1") for line in own),
        latency_of_many=_mean(line.get(LATENCY, {}).get("32") for line in own),
        asked=asked,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def by_limit(lines: Sequence[Line]) -> list[list[Line]]:
    """The results at each number of training images, numbers rising, all images last."""
    done = finished(lines)
    limits = sorted({line["limit"] for line in done}, key=lambda x: (x is None, x or 0))
    return [[line for line in done if line["limit"] == limit] for limit in limits]


def seeds_at(lines: Iterable[Line], limit: int | None) -> int:
    """How many seeds a study has at a number of training images; arms that failed count too."""
    return len({line["seed"] for line in lines if line["limit"] == limit})


def references(lines: Sequence[Line]) -> tuple[tuple[str, list[Line]], tuple[str, list[Line]]]:
    """What arms have to beat: name and results of the best single network, and of the average vote.

    Both are others in every cell, chosen by validation top-1: among all networks by themselves as
    they come, with a new head or fine-tuned, and among the votes of all these. Networks that were
    distilled, or see larger images, are no part of it.
    """
    singles = [ln for ln in lines if ln["kind"] == "baseline" and ln["baseline"] in SINGLES]
    votes = [ln for ln in lines if ln["kind"] == AVERAGE]
    best = best_by_validation(singles), best_by_validation(votes)
    return (BEST_SINGLE, best[0]), (AVERAGE_VOTE, best[1])


def best_by_validation(singles: Sequence[Line]) -> list[Line]:
    """In every cell the line with the highest validation top-1, the first among equals.

    The test part has no say in it, so that the choice does not flatter what was chosen.
    """
    best: dict[Key, Line] = {}
    for line in singles:
        key = (line["limit"], line["seed"])
        if key not in best or _val(line) > _val(best[key]):
            best[key] = line
    return list(best.values())


def _val(line: Line) -> float:
    """Validation top-1; what nobody validated comes after all else."""
    val = line.get("val")
    return -1.0 if val is None else val


def _errors(lines: Sequence[Line]) -> dict[Key, float]:
    return {(line["limit"], line["seed"]): 1 - line["test"]["top1"] for line in lines}


def _ratio(own: Mapping[Key, float], against: str, other: Mapping[Key, float]) -> Ratio | None:
    shared = [key for key in own if key in other]
    if not shared or not sum(other[key] for key in shared):
        return None
    ratio = paired_ratio([own[key] for key in shared], [other[key] for key in shared])
    return Ratio(against, ratio, len(shared))


def paired_ratio(own: Sequence[float], other: Sequence[float], *, seed: int = 0) -> Interval:
    """mean(own) / mean(other), and its 95 % interval by bootstrap over the pairs.

    Resamples in which the others make no error are left out.
    """
    mine, theirs = np.asarray(own, float), np.asarray(other, float)
    value = float(mine.mean() / theirs.mean())
    if len(mine) < 2:
        return Interval(value)
    drawn = np.random.default_rng(seed).integers(len(mine), size=(RESAMPLES, len(mine)))
    below = theirs[drawn].mean(1)
    ratios = mine[drawn].mean(1)[below > 0] / below[below > 0]
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))
