"""Tables, figures and verdicts of plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from convgraft.report import draw_comparison, markdown_table, verdict
from convgraft.report.figures import _neighbours


def row(arm: str, top1: float, macs: int = 10) -> dict[str, Any]:
    return {"arm": arm, "macs": macs, "test": {"top1": top1, "images": 200}}


def test_a_markdown_table() -> None:
    text = markdown_table(["arm", "top-1"], [["a|b", 1]])
    assert text.splitlines() == ["| arm | top-1 |", "|:--|--:|", "| a\\|b | 1 |"]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((0.9, 0.8, 0.85), "join is 5.0 points above vote, at 2.0x its MACs"),
        ((0.8, 0.7, 0.85), "No join wins: join is 5.0 points below vote"),
        ((0.85, 0.7, 0.85), "join and vote are equal"),
    ],
)
def test_the_verdict_tells_the_truth(scores: tuple[float, float, float], said: str) -> None:
    rows = [row("join", scores[0], 20), row("probe", scores[1]), row("vote", scores[2])]
    assert verdict(rows, joins=["join"]).startswith(said)
    assert "200 test images (one seed)" in verdict(rows, joins=["join"])


def test_without_rivals_there_is_no_verdict() -> None:
    assert verdict([row("join", 0.9)], joins=["join"]) == ""


def test_labels_of_points_that_lie_together_share_one_place() -> None:
    rows = [row("a", 0.97), row("b", 0.965), row("c", 0.5), row("d", 0.97, 99)]
    assert sorted(_neighbours(rows).values()) == [["a", "b"], ["c"], ["d"]]


def test_the_figure_is_a_picture(tmp_path: Path) -> None:
    rows = [row("join", 0.9, 20), row("probe", 0.7), row("vote", 0.85)]
    path = draw_comparison(rows, tmp_path / "x" / "c.png", title="on $_$", joins=["join"])
    with Image.open(path) as picture:
        assert picture.width > 1000
