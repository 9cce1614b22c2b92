"""A few-shot evaluation in words: what is claimed, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from convgraft.report.fewshot import (
    fewshot_cells,
    fewshot_header,
    fewshot_markdown,
    fewshot_words,
)
from convgraft.report.fewshot_figure import draw_fewshot, fewshot_figure
from convgraft.report.figures import JOIN


def difference(shots: int, value: float, against: str = "mobilenet_v2") -> dict[str, Any]:
    told = {"head": "prototype", "shots": shots, "arm": "joined features", "against": against}
    return {**told, "difference": value, "low": value - 0.005, "high": value + 0.005}


def score(arm: str, shots: int, value: float) -> dict[str, Any]:
    told = {"head": "prototype", "shots": shots, "arm": arm}
    return {**told, "accuracy": value, "low": value - 0.01, "high": value + 0.01}


DATA: dict[str, Any] = {
    "data": "pictures",
    "image_size": 100,
    "images": 500,
    "classes": 8,
    "networks": [{"name": "mobilenet_v2", "network": "torchvision/mobilenet_v2@m.safetensors"}],
    "ways": 5,
    "shots": [1, 5],
    "queries": 15,
    "episodes": 600,
    "seed": 0,
    "heads": ["prototype"],
    "join": "joined features",
    "vote": "the vote",
    "scores": [score(arm, k, 0.7 + k / 100) for arm in ("a", "joined features") for k in (1, 5)],
    "differences": [
        difference(1, 0.021),
        difference(5, 0.001),
        difference(1, -0.03, "the vote"),
        difference(5, 0.02, "the vote"),
        {**difference(1, 0.5), "arm": "the vote"},
    ],
}


def test_a_difference_is_claimed_where_its_interval_leaves_out_zero() -> None:
    assert fewshot_words(DATA) == [
        "prototype: joined features beat mobilenet_v2 by 2.1 points [1.6, 2.6] at 5-way 1-shot; "
        "show no difference to mobilenet_v2 at 5-way 5-shot (0.10 points [-0.40, 0.60])",
        "prototype: joined features lose to the vote by 3.0 points [2.5, 3.5] at 5-way 1-shot; "
        "beat the vote by 2.0 points [1.5, 2.5] at 5-way 5-shot",
    ]


def test_a_row_for_each_arm_and_a_column_for_each_number_of_shots() -> None:
    assert fewshot_header(DATA) == ["head: arm", "5-way 1-shot", "5-way 5-shot"]
    assert fewshot_cells(DATA) == [
        [f"prototype: {arm}", "71.00 [70.0, 72.0]", "75.00 [74.0, 76.0]"]
        for arm in ("a", "joined features")
    ]


def test_the_page_says_what_was_evaluated_and_how() -> None:
    page = fewshot_markdown(DATA)
    assert page.startswith("# Few-shot on pictures\n")
    assert "| prototype: joined features | 71.00 [70.0, 72.0] |" in page
    assert "* prototype: joined features beat" in page
    assert "Student's t" in page
    assert "* " not in fewshot_markdown({**DATA, "differences": []})


def test_the_figure_has_a_panel_for_each_head_and_a_line_for_each_arm() -> None:
    ridge = [{**one, "head": "ridge"} for one in DATA["scores"]]
    figure = fewshot_figure({
        **DATA, "heads": ["prototype", "ridge"], "scores": [*DATA["scores"], *ridge],
    })  # fmt: skip
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["prototype", "ridge"]
    for axes in figure.axes:
        assert [one.get_label() for one in axes.containers] == ["a", "joined features"]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "5"]
        line, _, (bars,) = axes.containers[1]
        assert line.get_color() == JOIN
        assert line.get_ydata() == pytest.approx([71, 75])
        assert line.get_xdata() == pytest.approx([1, 5], rel=0.05)
        ends = [sorted(y for _, y in bar) for bar in bars.get_segments()]
        assert ends == [pytest.approx([70, 72]), pytest.approx([74, 76])]


def test_intervals_of_arms_stand_side_by_side() -> None:
    figure = fewshot_figure(DATA)
    first, second = (container[0].get_xdata() for container in figure.axes[0].containers)
    assert all(one < other for one, other in zip(first, second, strict=True))


def test_the_figure_is_drawn_for_one_number_of_shots_too(tmp_path: Path) -> None:
    paths = [tmp_path / "figure.png", tmp_path / "figure.svg"]
    few = [one for one in DATA["scores"] if one["shots"] == 1]
    draw_fewshot({**DATA, "data": "my $_$", "shots": [1], "scores": few}, paths)
    with Image.open(paths[0]) as picture:
        assert picture.width > 600
    assert "joined features" in paths[1].read_text()
    assert "<!-- Few-shot on my $_$: " in paths[1].read_text()
