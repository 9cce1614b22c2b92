"""Statistics against scipy, statsmodels, naive loops and simulated studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from convgraft.studies.statistics import (
    Interval,
    Trial,
    holm,
    mcnemar,
    mcnemar_over_seeds,
    paired_bootstrap,
    sign_test,
    student_interval,
    wilson_interval,
)


def arms(
    both: int, own: int, other: int, neither: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who was right, for so many images of each kind."""
    counts = (both, own, other, neither)
    return np.repeat([True, True, False, False], counts), np.repeat(
        [True, False, True, False], counts
    )


def trial(own: NDArray[np.bool_], other: NDArray[np.bool_], first: int = 0) -> Trial:
    return Trial(np.arange(first, first + len(own)), own, other)


@pytest.mark.parametrize(("right", "count"), [(0, 20), (35, 40), (20, 20), (669, 690)])
def test_wilsons_interval_is_its_formula(right: int, count: int) -> None:
    share, z = right / count, stats.norm.ppf(0.975)
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) * z / (1 + z**2 / count)
    found = wilson_interval(share, count)
    assert found.value == share
    assert found.low == pytest.approx(middle - half, abs=1e-12)
    assert found.high == pytest.approx(middle + half, abs=1e-12)


@pytest.mark.parametrize("values", [[0.5, 0.52, 0.49], [0.91, 0.9, 0.93, 0.9, 0.94]])
def test_students_interval_is_scipys(values: list[float]) -> None:
    found = student_interval(values)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    theirs = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(theirs)


def test_a_shares_interval_ends_at_all_and_nothing() -> None:
    """Two seeds that differ by much reach beyond what a share can be."""
    found = student_interval([0.6, 0.9])
    low, high = stats.t.interval(0.95, 1, 0.75, stats.sem([0.6, 0.9]))
    assert low < 0 and high > 1
    assert (found.value, found.low, found.high) == (pytest.approx(0.75), 0.0, 1.0)
    assert student_interval([0.6]) == Interval(0.6)


@pytest.mark.parametrize(
    ("both", "own", "other", "neither"),
    [(101, 59, 121, 33), (50, 6, 1, 3), (50, 4, 4, 0), (10, 5, 0, 0), (9, 0, 0, 1)],
)
def test_mcnemar_is_that_of_statsmodels(both: int, own: int, other: int, neither: int) -> None:
    found = mcnemar(*arms(both, own, other, neither))
    table = [[both, own], [other, neither]]
    theirs: Any = their_mcnemar(table, exact=True)
    assert found == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("own", "other"), [(150, 86), (12, 3), (0, 6), (5, 5)])
def test_mcnemar_is_scipys_binomial_test_of_who_alone_was_right(own: int, other: int) -> None:
    found = mcnemar(*arms(70, own, other, 20))
    assert found == pytest.approx(stats.binomtest(own, own + other, 0.5).pvalue)
    assert found == pytest.approx(mcnemar(*arms(9, other, own, 0)))  # the others have no say


def naive_sign_test(gained: int, lost: int, *, mid: bool) -> float:
    """Twice the chance of as few heads or fewer, what was seen counted by half."""
    count, fewer = gained + lost, min(gained, lost)
    chances = [math.comb(count, heads) / 2**count for heads in range(fewer + 1)]
    return min(1.0, 2 * (sum(chances) - (chances[-1] / 2 if mid else 0)))


@pytest.mark.parametrize("mid", [False, True])
def test_the_sign_test_is_the_sum_of_chances(mid: bool) -> None:
    for gained in range(8):
        for lost in range(8):
            naive = naive_sign_test(gained, lost, mid=mid)
            assert sign_test(gained, lost, mid=mid) == pytest.approx(naive), (gained, lost)


def test_the_published_example_of_the_mid_p() -> None:
    # Fagerland and others 2013, table 1: 1 against 7; exact p 0.0703, mid-p 0.0391
    assert sign_test(7, 1) == pytest.approx(0.0703, abs=5e-5)
    assert sign_test(7, 1, mid=True) == pytest.approx(0.0391, abs=5e-5)


def test_over_seeds_with_other_images_all_of_them_count() -> None:
    first, second = arms(20, 7, 1, 2), arms(10, 5, 2, 3)
    apart = [trial(*first), trial(*second, first=100)]
    assert mcnemar_over_seeds(apart) == pytest.approx(sign_test(12, 3))
    assert mcnemar_over_seeds(apart[:1]) == pytest.approx(mcnemar(*first))


def test_over_seeds_with_the_same_images_each_image_counts_once() -> None:
    first = arms(20, 7, 1, 2)
    assert mcnemar_over_seeds([trial(*first)] * 5) == pytest.approx(mcnemar(*first))
    swapped = trial(first[1], first[0])
    assert mcnemar_over_seeds([trial(*first), swapped]) == 1


@pytest.mark.parametrize("p_values", [[0.01], [0.04, 0.01, 0.03], [0.2, 0.01, 0.01, 0.9, 0.04]])
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    theirs = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(theirs)
    in_order = holm(p_values)[np.argsort(p_values)]
    assert all(one <= other for one, other in pairwise(in_order))


def test_a_published_example_of_many_tests() -> None:
    """15 comparisons of two treatments of a heart attack (Neuhaus and others 1992), as in Benjamini
    and Hochberg, J. R. Statist. Soc. B 57, 1995, 3.2: at 5 % control of a single mistake rejects
    three of them.
    """
    found = holm([
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
        *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
    ])  # fmt: skip
    assert int((found < 0.05).sum()) == 3
    by_hand = [0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278, 0.278, 0.278, 0.3213, *[1.0] * 6]
    assert found == pytest.approx(by_hand)


def test_holms_correction_step_by_step() -> None:
    """Four p in no order: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which is not below the last."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_without_p_values_there_is_nothing_to_correct() -> None:
    assert len(holm([])) == 0


def test_with_one_seed_the_bootstrap_is_a_loop_over_drawn_images() -> None:
    own, other = arms(30, 12, 4, 4)
    found = paired_bootstrap([trial(own, other)])
    rng = np.random.default_rng(1)
    naive: list[float] = []
    for drawn in rng.integers(50, size=(5_000, 50)):
        naive.append(float(own[drawn].mean() - other[drawn].mean()))
    assert found.points.value == pytest.approx(8 / 50)
    assert found.points.low == pytest.approx(np.quantile(naive, 0.025), abs=0.021)
    assert found.points.high == pytest.approx(np.quantile(naive, 0.975), abs=0.021)
    beyond = sum(difference <= 0 for difference in naive) / 5_000
    assert found.p == pytest.approx(2 * beyond, abs=0.02)


def test_with_several_seeds_images_are_drawn_for_all_of_them_at_once() -> None:
    own, other = arms(300, 40, 20, 40)
    alone, thrice = (paired_bootstrap([trial(own, other)] * seeds) for seeds in (1, 3))
    assert alone.points.low is not None and thrice.points.low is not None
    assert thrice.points.low == pytest.approx(alone.points.low, abs=0.003)  # no more images
    apart = [trial(own, other, first=1_000 * seed) for seed in range(3)]
    narrow = paired_bootstrap(apart).points
    assert narrow.low is not None and narrow.high is not None
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * (0.1475 / 1200) ** 0.5, rel=0.05)


def test_the_bootstrap_of_seeds_that_differ_is_students_interval() -> None:
    """Many images, so that they make little of the differences between seeds."""
    count, gains = 40_000, (0.02, 0.05, 0.03, 0.09)
    trials = [
        trial(*arms(int(count * 0.5), int(count * gain), 0, int(count * (0.5 - gain))), count * n)
        for n, gain in enumerate(gains)
    ]
    found = paired_bootstrap(trials, resamples=40_000).points
    low, high = stats.ttest_1samp(gains, 0.0).confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(gains))
    assert found.low == pytest.approx(low, abs=0.003)
    assert found.high == pytest.approx(high, abs=0.003)


def test_the_same_draws_every_time() -> None:
    trials = [trial(*arms(30, 12, 4, 4)), trial(*arms(30, 2, 4, 14))]
    assert paired_bootstrap(trials) == paired_bootstrap(trials)
    assert paired_bootstrap(trials, seed=1) != paired_bootstrap(trials)


def test_a_network_against_itself_is_no_difference() -> None:
    own, _ = arms(30, 12, 4, 4)
    found = paired_bootstrap([trial(own, own)] * 2)
    assert (found.points.value, found.points.low, found.points.high, found.p) == (0, 0, 0, 1)


def simulated(
    rng: np.random.Generator, seeds: int, *, shared: bool, luck: float, images: int = 300
) -> list[Trial]:
    """Two arms that are equal in truth: 85 % right, and alike on most images.

    Args:
        shared: whether all seeds test the same images.
        luck: standard deviation of an arm's true top-1 over seeds.
    """
    hard = rng.random((seeds, images))
    if shared:
        hard[:] = hard[0]
    first = np.zeros(seeds, np.int64) if shared else np.arange(seeds) * images
    own, other = (0.85 + luck * rng.standard_normal((seeds, 1)) for _ in range(2))
    noise = 0.05 * rng.standard_normal((2, seeds, images))
    if shared:  # an image that is easier for one arm is so under every seed
        noise += 0.05 * rng.standard_normal((2, 1, images))
    rights = (hard + noise[0] < own), (hard + noise[1] < other)
    return [
        Trial(first[seed] + np.arange(images), rights[0][seed], rights[1][seed])
        for seed in range(seeds)
    ]


def outcomes(rng: np.random.Generator, draws: int, seeds: int, **how: float) -> Sequence[bool]:
    """Whether each interval of simulated ties covers zero."""
    found: list[bool] = []
    for _ in range(draws):
        ties = simulated(rng, seeds, **how)  # type: ignore[arg-type]
        points = paired_bootstrap(ties, resamples=400).points
        assert points.low is not None and points.high is not None
        found.append(points.low <= 0 <= points.high)
    return found


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.0), (2, 0.03), (3, 0.0), (5, 0.01)])
def test_intervals_of_ties_cover_zero_about_as_often_as_they_say(
    seeds: int, luck: float, shared: bool
) -> None:
    rng = np.random.default_rng(seeds)
    covered = np.mean(outcomes(rng, 200, seeds, shared=shared, luck=luck))
    assert 0.92 <= covered <= 0.995


def known_difference(rng: np.random.Generator, seeds: int, luck: float) -> list[Trial]:
    """Two arms whose true difference is 5 points: of 400 images each alone is right on 10 and 5 %.

    Args:
        luck: standard deviation of that difference over seeds.
    """
    trials: list[Trial] = []
    for seed in range(seeds):
        gain = 0.10 + luck * float(rng.standard_normal())
        kinds = rng.choice(4, size=400, p=[0.70, gain, 0.05, 0.25 - gain])
        trials.append(trial((kinds == 0) | (kinds == 1), (kinds == 0) | (kinds == 2), 400 * seed))
    return trials


@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.0), (3, 0.02), (5, 0.02)])
def test_intervals_cover_a_known_difference_as_often_as_they_say(seeds: int, luck: float) -> None:
    rng = np.random.default_rng(10 + seeds)
    covered: list[bool] = []
    above = 0
    for _ in range(200):
        points = paired_bootstrap(known_difference(rng, seeds, luck), resamples=300).points
        assert points.low is not None and points.high is not None
        covered.append(points.low <= 0.05 <= points.high)
        above += points.low > 0
    assert 0.92 <= np.mean(covered) <= 0.995
    assert above > 70  # and they are narrow enough to find it in a third of all studies at least


def test_of_many_arms_that_are_ties_hardly_one_wins() -> None:
    """Ten arms in each of 30 studies of five seeds: below 5 % of the studies call a win."""
    rng = np.random.default_rng(0)
    won = 0
    for _ in range(30):
        wins: list[tuple[float, bool]] = []
        for _ in range(10):
            ties = simulated(rng, 5, shared=False, luck=0.01)
            found = paired_bootstrap(ties, resamples=500)
            p = max(found.p, mcnemar_over_seeds(ties))
            wins.append((p, found.points.low is not None and found.points.low > 0))
        corrected = holm([p for p, _ in wins])
        won += any(above and p < 0.05 for p, (_, above) in zip(corrected, wins, strict=True))
    assert won < 2
