"""The verdict of a study says what its comparisons allow, and no more."""

from __future__ import annotations

from convgraft.report import failure_words, study_verdict, study_words
from convgraft.report.study_verdict import comparison_table
from convgraft.studies import ArmSummary, Comparison, Interval


def compared(
    arm: str,
    points: tuple[float, float, float],
    *,
    p: float = 0.001,
    against: str = "average-finetune",
    seeds: int = 3,
    images: int = 1400,
    arms: int = 2,
) -> Comparison:
    value = Interval(*points)
    return Comparison(arm, against, 400, seeds, images, value, p, p, arms, 0.6)


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


def test_every_rival_and_limit_has_its_own_sentence() -> None:
    told = study_verdict([WON, compared("cross-skip", (0.0, -0.01, 0.01), against="best finetune")])
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
    assert told.index("z failed") < told.index("highest mean test top-1") < told.index("| arm |")
    assert "corrected by Holm" in told
    assert "Holm" not in study_words("T", [arm])  # without predictions, as before
    assert "| stitch | average-finetune | 400 | +0.3 [-0.4, 1.0] | 0.4 | 0.6x | tie |" in (
        comparison_table([TIED])
    )
