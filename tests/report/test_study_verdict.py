"""The verdict of a study says what its comparisons allow, and no more."""

from __future__ import annotations

from convgraft.report import failure_words, study_verdict, study_words
from convgraft.report.study_verdict import HOW_COMPARED, comparison_table
from convgraft.studies import ArmSummary, Comparison, Interval


def compared(
    arm: str,
    points: tuple[float, float, float],
    *,
    p: float = 0.001,
    against: str = "average vote",
    seeds: int = 3,
    images: int = 1400,
    arms: int = 2,
    asked: int = 0,
) -> Comparison:
    value = Interval(*points)
    return Comparison(arm, against, 400, seeds, images, value, p, p, arms, 0.6, asked)


WON = compared("cross-skip", (0.011, 0.004, 0.018))
TIED = compared("stitch", (0.003, -0.004, 0.010), p=0.4)
LOST = compared("ladder", (-0.02, -0.03, -0.01))


def test_a_win_is_told_with_its_interval_and_its_cost() -> None:
    (told,) = study_verdict([LOST, WON, TIED])
    assert told == (
        "With 400 training images, cross-skip beats the average vote by 1.1 points [0.4, 1.8] "
        "at 0.6x its cost."
    )


def test_other_winners_are_named() -> None:
    (told,) = study_verdict([WON, compared("stitch", (0.008, 0.002, 0.012)), TIED])
    assert told.endswith("So do, by less, stitch.")


def test_a_tie_is_never_called_a_win() -> None:
    (told,) = study_verdict([TIED, LOST])
    assert "no join beats the average vote here: stitch, the best of 2, is a tie with it" in told
    assert "(+0.3 points [-0.4, 1.0], p = 0.4), at 0.6x its cost" in told
    unsure = compared("x", (0.01, 0.001, 0.02), p=0.06, arms=1)
    assert "x is a tie with it" in study_verdict([unsure])[0]


def test_a_loss_is_told_as_one() -> None:
    (told,) = study_verdict([LOST])
    assert "no join beats the average vote here" in told
    assert "is 2.0 points [1.0, 3.0] below it, at 0.6x its cost" in told


def test_one_seed_and_few_images_are_told() -> None:
    (told,) = study_verdict([compared("x", (0.05, 0.02, 0.08), seeds=1, images=40)])
    assert "One seed only" in told
    assert "Only 40 test images: one of them is 2.5 points." in told
    assert "only" not in study_verdict([WON])[0].lower()


def test_two_seeds_are_told_as_few() -> None:
    (told,) = study_verdict([compared("x", (0.05, 0.02, 0.08), seeds=2)])
    assert told.endswith(
        "Two seeds only: Student's t is 12.7 then, so that they rarely tell arms apart."
    )


def test_what_not_every_seed_has_answers_for_is_told_as_no_win() -> None:
    survivor = compared("x", (0.05, 0.02, 0.08), seeds=3, asked=5)
    (told,) = study_verdict([survivor, LOST])
    assert (
        "no join beats the average vote here: x, the best of 2, is a tie with it (answered " in told
    )
    assert "(answered under 3 of 5 seeds only; +5.0 points [2.0, 8.0], p = 0.001)" in told
    assert "| x | average vote | 400 | 3 of 5 | +5.0 [2.0, 8.0] | 0.001 | 0.6x | tie |" in (
        comparison_table([survivor])
    )
    (lost,) = study_verdict([compared("x", (-0.05, -0.08, -0.02), seeds=3, asked=5)])
    assert "is 5.0 points [2.0, 8.0] below it (answered under 3 of 5 seeds only), at" in lost


def test_a_stitch_that_is_no_better_than_noise_is_said_to_be_so() -> None:
    front = "own random front"
    better = compared("s", (0.2, 0.1, 0.3), against=front)
    tied = compared("t", (0.003, -0.004, 0.01), p=0.4, against=front)
    worse = compared("u", (-0.2, -0.3, -0.1), against=front)
    (told,) = study_verdict([tied, better, worse])
    assert told == (
        "With 400 training images, better than the same stitch from a random front: "
        "s by 20.0 points [10.0, 30.0]. With 400 training images, no better than the same stitch "
        "from a random front: t (+0.3 points [-0.4, 1.0], p = 0.4), "
        "u (-20.0 points [-30.0, -10.0], p = 0.001)."
    )
    assert "no better" not in study_verdict([better])[0]


def test_the_best_distilled_network_is_a_rival_by_that_name() -> None:
    (told,) = study_verdict([compared("x", (0.011, 0.004, 0.018), against="best distilled")])
    assert "x beats the best distilled network by 1.1 points" in told


def test_what_is_not_corrected_is_told_beside_the_table() -> None:
    assert "not for the number of rivals and limits, nor for seeds that were added" in HOW_COMPARED
    assert "the intervals over seeds somewhat too narrow" in HOW_COMPARED


def test_every_rival_and_limit_has_its_own_sentence() -> None:
    told = study_verdict([WON, compared("cross-skip", (0.0, -0.01, 0.01), against="best single")])
    assert len(told) == 2
    assert "no join beats the best single network here" in told[1]


def test_bounds_near_zero_do_not_look_like_zero() -> None:
    (told,) = study_verdict([compared("x", (0.004, 0.0004, 0.008))])
    assert "0.40 points [0.04, 0.80]" in told


def test_the_summary_has_the_verdict_first_and_the_table_below() -> None:
    arm = ArmSummary("x", "join", 400, 400, 3, Interval(0.9), None, None, 1e6, 10, 5, 1.0)
    told = study_words("T", [arm], [WON, TIED], failure_words([
        {"arm": "z", "cell": "400-0", "failed": "it fell over"}
    ]))  # fmt: skip
    assert told.index("beats the average vote") < told.index("z failed in 400-0: it fell over")
    assert told.index("z failed") < told.index("mean test top-1") < told.index("| arm |")
    assert "corrected by Holm" in told
    assert "Holm" not in study_words("T", [arm])  # without predictions, as before
    assert "| stitch | average vote | 400 | 3 | +0.3 [-0.4, 1.0] | 0.4 | 0.6x | tie |" in (
        comparison_table([TIED])
    )
