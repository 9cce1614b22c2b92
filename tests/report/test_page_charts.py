"""The page's charts: points stand where they belong, names do not lie on each other."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from convgraft.report.chart_frame import Frame, Scale, apart, ticks
from convgraft.report.confusion_chart import confusion_chart
from convgraft.report.cost_chart import cost_chart, cost_words, front
from convgraft.report.line_chart import line_chart
from convgraft.report.page_data import Chart, Examined, Point, Series
from convgraft.report.run_charts import run_charts
from convgraft.report.svg import element
from convgraft.studies import Interval


def points() -> list[Point]:
    tops = (0.9, 0.91, 0.905, 0.7, 0.89)
    costs = (10e6, 20e6, 30e6, 5e6, 10e6)
    return [
        Point(f"arm {n} <b>", "join" if n == 1 else "baseline", Interval(top), cost)
        for n, (top, cost) in enumerate(zip(tops, costs, strict=True))
    ]


def test_text_and_attributes_are_escaped() -> None:
    made = element("text", "a < b", class_="name", data_facts='"><i>', nothing=None)
    assert made == '<text class="name" data-facts="&#34;&gt;&lt;i&gt;">a &lt; b</text>'


def test_the_front_is_what_no_cheaper_arm_beats() -> None:
    given = points()
    naive = [
        one
        for one in given
        if not any(
            (o.macs <= one.macs and o.top1.value > one.top1.value)
            or (o.macs < one.macs and o.top1.value >= one.top1.value)
            for o in given
        )
    ]
    assert front(given) == sorted(naive, key=lambda one: one.macs)
    assert [one.name[:5] for one in front(given)] == ["arm 3", "arm 0", "arm 1"]
    assert cost_words(given).startswith(
        "From cheap to dear, these arms are worth their cost: arm 3"
    )


def test_a_dearer_dot_is_farther_right_and_a_better_one_higher() -> None:
    root = ET.fromstring(cost_chart(points()))
    dots = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in root.iter("circle")]
    given = points()
    for one, (x, y) in zip(given, dots, strict=True):
        for other, (x2, y2) in zip(given, dots, strict=True):
            assert (one.macs < other.macs) == (x < x2)
            assert (one.top1.value > other.top1.value) == (y < y2)
    names = [text for text in root.iter("text") if "name" in (text.get("class") or "")]
    heights = sorted((float(t.get("x", 0)), float(t.get("y", 0))) for t in names)
    assert all(b[1] - a[1] > 12 for a, b in pairwise(heights) if a[0] == b[0])


def test_one_arm_alone_has_a_chart_too() -> None:
    given = [Point("only", "join", Interval(1.0), 0)]
    assert ET.fromstring(cost_chart(given)).tag == "svg"
    assert "No arm is better than only" in cost_words(given)


def test_a_line_has_a_dot_for_each_epoch_and_a_large_one_for_the_chosen() -> None:
    series = Series("x", "join", ((1, 70.0), (2, 80.0), (3, 78.0)), marked=2)
    root = ET.fromstring(line_chart(Chart("t", "epoch", "top-1, %", (series,))))
    dots = list(root.iter("circle"))
    assert [dot.get("class") for dot in dots] == ["", "chosen", ""]
    heights = [float(dot.get("cy", 0)) for dot in dots]
    assert heights[1] == min(heights)


def test_a_matrix_of_many_classes_has_a_square_for_each_pair_that_occurs(shown: Examined) -> None:
    root = ET.fromstring(confusion_chart(shown))
    squares = [one for one in root.iter("rect") if one.get("class") != "edge"]
    assert len(squares) == sum(number > 0 for row in shown.confusion for number in row)


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0, 1, False), (91.2, 93.1, False), (0.5, 4000, True), (9, 11, True)]
)
def test_ticks_are_within_the_scale_and_few(low: float, high: float, log: bool) -> None:
    found = ticks(Scale(low, high, 0, 100, log))
    assert 2 <= len(found) <= 12
    assert all(low <= value <= high for value in found)


def test_names_are_moved_apart_and_stay_inside() -> None:
    found = apart([50, 50, 51, 90, 98], 10, 0, 100)
    ordered = sorted(found)
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(ordered))
    assert min(found) >= 0
    assert max(found) <= 100 + 1e-9
    assert apart([10, 80], 10, 0, 100) == [10, 80]


def test_equal_values_still_have_a_scale() -> None:
    scale = Frame().upwards([50.0, 50.0])
    assert scale.low < 50 < scale.high


@pytest.mark.parametrize("losses", [(0.5, 0.1, -0.4), (-0.2, -0.5, -0.9)])
def test_losses_below_zero_stay_within_the_chart(losses: tuple[float, ...]) -> None:
    series = Series("x", "join", tuple((n + 1.0, loss) for n, loss in enumerate(losses)))
    root = ET.fromstring(line_chart(Chart("t", "epoch", "training loss", (series,))))
    heights = [float(dot.get("cy", 0)) for dot in root.iter("circle")]
    frame = Frame()
    assert heights == sorted(heights)
    assert all(frame.top <= y <= frame.height - frame.bottom for y in heights[:1])
    assert heights[-1] <= float((root.get("viewBox") or "").split()[3]) - frame.bottom


def test_the_loss_that_is_drawn_is_the_runs_own() -> None:
    curve = [{"train_loss": loss, "val": {"label": {"top1": 0.5}}} for loss in (2.0, 1.0)]
    noted = {"curve": curve, "best_epoch": 1}
    both = run_charts({"cross-skip": noted, "probe-a": noted})
    assert [one.name for one in both[1].series] == ["cross-skip"]
    solved = run_charts({"cross-skip": {"curve": []}, "probe-a": noted})
    assert [chart.title for chart in solved] == ["Validation top-1 over epochs"]
