"""A study's table, words and figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from convgraft.report import draw_study, short_cells, study_table, study_words
from convgraft.report.study_tables import arms_table
from convgraft.studies import ArmSummary, Interval, Ratio


def arm(
    name: str,
    kind: str,
    top1: float,
    *,
    limit: int | None = 100,
    single: Ratio | None = None,
    seeds: int = 3,
) -> ArmSummary:
    interval = Interval(top1, top1 - 0.01, top1 + 0.01) if seeds > 1 else Interval(top1)
    images = limit or 900
    return ArmSummary(name, kind, limit, images, seeds, interval, single, None, 2e6, 1234, 100, 7.0)


def ratio(low: float | None, value: float, high: float | None) -> Ratio:
    return Ratio("best single", Interval(value, low, high), 3 if low else 1)


def test_the_table_has_intervals_where_there_are_any() -> None:
    arms = [arm("join", "join", 0.926, single=ratio(0.6, 0.72, 0.85))]
    row = study_table(arms).splitlines()[2]
    assert row.startswith(
        "| join | 100 | 3 | 92.60 [91.6, 93.6] | 0.72 [0.60, 0.85] | 2.0 | 1,234 |"
    )
    alone = [arm("join", "join", 0.926, single=ratio(None, 0.72, None), seeds=1)]
    assert short_cells(alone) == [["join", "100", "92.60", "0.72", "", "2.0", "7"]]


def test_what_was_measured_beside_top1_has_a_column_and_a_sentence() -> None:
    told = {"balanced": 0.871, "nll": 0.4123, "ece": 0.03, "latency": 12.345}
    measured = replace(arm("join", "join", 0.9), **told, latency_of_many=0.5)
    header, _, row = study_table([measured]).splitlines()[:3]
    assert "| balanced, % | NLL | ECE | million MACs | weights | ms an image | ms in a " in header
    assert "| 87.10 | 0.412 | 0.030 | 2.0 | 1,234 | 12.3 | 0.500 |" in row
    words = study_words("T", [measured])
    assert "balanced accuracy is 87.10 %, its NLL 0.412, its ECE 0.030." in words
    assert "An image takes 12.3 ms alone and 0.500 ms in a batch of 32." in words
    assert "balanced accuracy is" not in study_words("T", [arm("join", "join", 0.9)])


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0.6, 0.72, 0.85), "Its error is 0.72x that of the best single network, over 3 seeds."),
        ((0.6, 0.90, 1.10), "Its error is 0.90x that of the best single network, over 3 seeds."),
        ((None, 0.90, None), "over one seed."),
    ],
)
def test_the_words_describe_a_ratio_and_take_it_for_no_evidence(
    bounds: tuple[float | None, float, float | None], said: str
) -> None:
    arms = [arm("join", "join", 0.9, single=ratio(*bounds)), arm("finetune-a", "baseline", 0.88)]
    told = study_words("T", arms)
    assert said in told
    assert "tell them apart" not in told and "are no evidence" in told
    assert "2.00 points above finetune-a" in told


def test_an_arm_that_failed_under_some_seeds_is_shown_with_those_it_has() -> None:
    some = replace(arm("join", "join", 0.95), asked=5)
    whole = replace(arm("other", "join", 0.9, seeds=5), asked=5)
    assert study_table([some, whole]).splitlines()[2].startswith("| join | 100 | 3 of 5 | 95.00")
    assert "It answered under 3 of 5 seeds only." in study_words("T", [some, whole])
    assert arms_table([some, whole]).marked == {1}
    assert arms_table([replace(some, seeds=5), whole]).marked == {0}


def test_the_words_tell_of_every_limit_and_of_many_arms() -> None:
    arms = [
        arm("x", "join", 0.8), arm("y", "join", 0.7), arm("probe-a", "baseline", 0.9),
        arm("x", "join", 0.91, limit=None), arm("random", "control", 0.99, limit=None),
    ]  # fmt: skip
    told = study_words("T", arms)
    assert "With 100 training images, x has the highest mean test top-1 of 2 joins: 80" in told
    assert told.count("the best of many is flattered") == 1
    assert "10.00 points below probe-a" in told
    assert "With 900 training images, x has a mean test top-1 of 91" in told


@pytest.mark.parametrize("limits", [(100,), (100, None)])
def test_the_figure_is_a_picture(limits: tuple[int | None, ...], tmp_path: Path) -> None:
    kinds = {"x": "join", "y": "join", "z": "control", "probe-a": "baseline", "v": "average"}
    arms = [arm(name, kind, 0.8, limit=limit) for limit in limits for name, kind in kinds.items()]
    draw_study(arms, [tmp_path / "f.png", tmp_path / "f.svg"], title="T")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width > 1000
    assert "<svg" in (tmp_path / "f.svg").read_text()


def test_the_figures_title_is_text_and_no_formula(tmp_path: Path) -> None:
    draw_study([arm("x", "join", 0.8)], [tmp_path / "f.svg"], title="is $_$ worth it?")
    assert "<!-- is $_$ worth it? -->" in (tmp_path / "f.svg").read_text()
