"""Honest figures between arms: intervals over seeds, paired tests on images, correction for many.

Pure functions of plain arrays; what is drawn is drawn from a seed. `Trial` is two arms on the same
test images under one seed. Over several seeds two things vary: which images happen to be in the
test part, and how training happened to go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 10_000
_AT_ONCE = 1_000  # resamples in memory
_ABSENT = 2  # in a table of differences: the seed did not test the image


@dataclass(frozen=True)
class Interval:
    """A value and where it lies with 95 % confidence; without bounds where one seed tells it."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Trial:
    """Two arms on the same test images, under one seed.

    Attributes:
        images: int64 [N], no two alike: under other seeds the same number is the same image.
        own, other: bool [N]: whether each of the arms was right.
    """

    images: NDArray[np.int64]
    own: NDArray[np.bool_]
    other: NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """By how much one arm's top-1 is above another's, as a share, and the p of no difference."""

    points: Interval
    p: float


def student_interval(values: Sequence[float]) -> Interval:
    """The mean and its 95 % interval by Student's t; for shares, within 0 and 1."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean)
    spread = stdev(values) / len(values) ** 0.5
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def wilson_interval(share: float, count: int) -> Interval:
    """A share of so many images that are right, and Wilson's 95 % interval over such images.

    It is as wide as it has to be at 0 and 1 too (Wilson, JASA 22, 1927).
    """
    found = stats.binomtest(round(share * count), count).proportion_ci(CONFIDENCE, "wilson")
    return Interval(share, float(found.low), float(found.high))


def mcnemar(own: NDArray[np.bool_], other: NDArray[np.bool_], *, mid: bool = False) -> float:
    """The exact two-sided p of two arms being right equally often on the same images.

    Only images that one of them alone gets right have a say (McNemar, Psychometrika 12, 1947).

    Args:
        own, other: [N], whether each arm was right.
        mid: as in `sign_test`.
    """
    gained, lost = int((own & ~other).sum()), int((other & ~own).sum())
    return sign_test(gained, lost, mid=mid)


def mcnemar_over_seeds(trials: Sequence[Trial], *, mid: bool = False) -> float:
    """The same over several seeds; every image has one say, however many seeds tested it.

    Its say is for the arm that was right under more of the seeds. Where seeds test different images
    this is McNemar's test on all of them together; where they test the same ones it does not take
    five answers to one image for five images.
    """
    table = _differences(trials)
    said = np.where(table == _ABSENT, 0, table).sum(1)
    return sign_test(int((said > 0).sum()), int((said < 0).sum()), mid=mid)


def sign_test(gained: int, lost: int, *, mid: bool = False) -> float:
    """The exact two-sided binomial p of so many for and against, at even odds; 1 for none at all.

    Args:
        mid: count what was seen by half, which is less cautious and nearer to the level asked for
            (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013).
    """
    count, fewer = gained + lost, min(gained, lost)
    if not count:
        return 1.0
    if mid:
        seen = stats.binom.pmf(fewer, count, 0.5)
        return min(1.0, float(2 * stats.binom.cdf(fewer, count, 0.5) - seen))
    return float(stats.binomtest(fewer, count, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """p values corrected for their number, in their order: [K].

    With those below 0.05 taken for real, one or more is not with a chance of 5 % at most, however
    they depend on each other (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    found = np.asarray(p_values, float)
    order = np.argsort(found, kind="stable")
    raised = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    corrected = np.empty_like(found)
    corrected[order] = np.minimum(1.0, raised)
    return corrected


def paired_bootstrap(
    trials: Sequence[Trial], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """The difference of two arms' top-1, over new test images and over new seeds.

    On the level of images they are drawn anew, with both arms' answers; an image that several seeds
    tested is drawn for all of them at once (Owen, Annals of Applied Statistics 1, 2007). On the
    level of seeds the mean moves by Student's t times its standard error over seeds, and by that
    part of the images' chance which all seeds share. Seeds are not drawn anew themselves: two to
    five of them give intervals that are far too narrow. Interval and p are the more careful ones of
    images alone and of both levels, so that seeds that agree by luck do not hide the images'
    chance. With one seed there are images alone.

    Args:
        trials: one for each seed.
        resamples: how many.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    table = _differences(trials)
    seen = np.array([column[column != _ABSENT].mean() for column in table.T])
    redrawn = _redraw_images(table, resamples, rng)
    levels = [redrawn.mean(1), _redraw_seeds(seen, redrawn, rng)]
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.transpose([np.quantile(found, ends) for found in levels])
    p = max(_p_of_none(found) for found in levels)
    return Difference(Interval(float(seen.mean()), float(low.min()), float(high.max())), p)


def _p_of_none(found: NDArray[np.float64]) -> float:
    """Twice the share of resamples that lie on the other side of zero, and at most 1."""
    beyond = min(int((found <= 0).sum()), int((found >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(found) + 1))


def _differences(trials: Sequence[Trial]) -> NDArray[np.int8]:
    """For every image [I] and seed [S]: 1 where own alone is right, -1 where the other is."""
    known = np.unique(np.concatenate([trial.images for trial in trials]))
    table = np.full((len(known), len(trials)), _ABSENT, np.int8)
    for number, trial in enumerate(trials):
        rows = np.searchsorted(known, trial.images)
        table[rows, number] = trial.own.astype(np.int8) - trial.other.astype(np.int8)
    return table


def _redraw_images(
    table: NDArray[np.int8], resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """By resample and seed [B, S], the mean difference over images drawn with replacement.

    Images with the same differences under every seed are alike, so that it is enough to draw how
    often each kind of image comes.
    """
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    tested = (kinds != _ABSENT).astype(float)
    gained = np.where(kinds == _ABSENT, 0, kinds).astype(float)
    found: list[NDArray[np.float64]] = []
    for start in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - start)
        drawn = rng.multinomial(len(table), counts / len(table), size=size)
        found.append((drawn @ gained) / np.maximum(drawn @ tested, 1))
    return np.concatenate(found)


def _redraw_seeds(
    seen: NDArray[np.float64], redrawn: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """By resample [B], the mean difference under other seeds, and on other images they share."""
    means, seeds = redrawn.mean(1), len(seen)
    if seeds < 2:
        return means
    spread = float(seen.var(ddof=1))
    # redrawn means differ between seeds by what the seen ones do, and by the images once more
    by_images = max(0.0, float(redrawn.var(1, ddof=1).mean()) - spread)
    chance = float(means.var())
    shared = max(0.0, 1 - by_images / seeds / chance) if chance else 0.0
    moved = rng.standard_t(seeds - 1, len(means)) * (spread / seeds) ** 0.5
    return seen.mean() + moved + shared**0.5 * (means - seen.mean())
