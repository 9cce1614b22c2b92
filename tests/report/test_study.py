"""A study's table, words and figure."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from convgraft.report import draw_study, short_cells, study_table, study_words
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
    return Ratio("best finetune", Interval(value, low, high), 3)


def test_the_table_has_intervals_where_there_are_any() -> None:
    arms = [arm("join", "join", 0.926, single=ratio(0.6, 0.72, 0.85))]
    row = study_table(arms).splitlines()[2]
    assert row.startswith("| join | 100 | 3 | 92.60 [91.6, 93.6] | 0.72 [0.60, 0.85] |  | 2.0 |")
    alone = [arm("join", "join", 0.926, single=ratio(None, 0.72, None), seeds=1)]
    assert short_cells(alone) == [["join", "100", "92.60", "0.72", "", "2.0", "7"]]


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0.6, 0.72, 0.85), "0.72x that of best finetune [0.60, 0.85], over 3 seeds"),
        ((0.6, 0.90, 1.10), "[0.60, 1.10]: 3 seeds do not tell them apart"),
        ((None, 0.90, None), "(one seed: no interval)"),
    ],
)
def test_the_words_say_what_the_interval_allows(
    bounds: tuple[float | None, float, float | None], said: str
) -> None:
    arms = [arm("join", "join", 0.9, single=ratio(*bounds)), arm("finetune-a", "baseline", 0.88)]
    told = study_words("T", arms)
    assert said in told
    assert "2.00 points above finetune-a" in told


def test_the_words_tell_of_every_limit_and_of_many_arms() -> None:
    arms = [
        arm("x", "join", 0.8), arm("y", "join", 0.7), arm("probe-a", "baseline", 0.9),
        arm("x", "join", 0.91, limit=None), arm("random", "control", 0.99, limit=None),
    ]  # fmt: skip
    told = study_words("T", arms)
    assert "With 100 training images, x has the highest mean test top-1" in told
    assert "of 2 arms; the best of many is flattered" in told
    assert "10.00 points below probe-a" in told
    assert "With 900 training images, x has the highest" in told


@pytest.mark.parametrize("limits", [(100,), (100, None)])
def test_the_figure_is_a_picture(limits: tuple[int | None, ...], tmp_path: Path) -> None:
    kinds = {"x": "join", "y": "join", "z": "control", "probe-a": "baseline", "v": "average"}
    arms = [arm(name, kind, 0.8, limit=limit) for limit in limits for name, kind in kinds.items()]
    draw_study(arms, [tmp_path / "f.png", tmp_path / "f.svg"], title="T")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width > 1000
    assert "<svg" in (tmp_path / "f.svg").read_text()
