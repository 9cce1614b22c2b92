"""A matching's figure and page, from plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from convgraft.report.match_figure import draw_matching
from convgraft.report.match_text import match_markdown, match_words, pair_reasons


def matching(rows: int, columns: int) -> dict[str, Any]:
    table: list[list[float | None]] = [[0.5 - i * j for j in range(columns)] for i in range(rows)]
    table[-1][-1] = None
    networks = [
        {"name": side, "network": f"net_{side}", "taps": [{"name": f"l{n}"} for n in range(count)]}
        for side, count in (("a", rows), ("b", columns))
    ]
    pair = {
        "left": "l0", "right": "l1", "cka": 0.5, "forward": 0.4, "backward": None,
        "cost": 0.01, "score": 0.48, "why": "scores best of 2; next is b:l0 (0.30)",
    }  # fmt: skip
    stitch = {
        "from": "a:l0", "to": "b:l1", "r2": 0.4, "classifier": "own", "alone": 0.7,
        "stitched": 0.65, "points": -5.0, "images": 40, "macs": 12_300_000,
    }  # fmt: skip
    return {
        "data": "digits", "image_size": 8, "images": 200, "held_out": 40, "positions": None,
        "networks": networks, "cka": table, "forward": table, "backward": table,
        "pairs": [pair], "stitches": [stitch],
    }  # fmt: skip


@pytest.mark.parametrize("size", [(1, 2), (3, 4), (2, 26)])
def test_the_figure_is_a_picture(size: tuple[int, int], tmp_path: Path) -> None:
    draw_matching(matching(*size), [tmp_path / "f.png", tmp_path / "f.svg"], title="T")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width > 800
    assert "<svg" in (tmp_path / "f.svg").read_text()


def test_the_page_says_what_was_found() -> None:
    page = match_markdown(matching(2, 2))
    assert "| l0 | l1 | 0.50 | 0.40 | - | 1.00 | 0.48 |" in page
    assert "* a:l0 + b:l1: scores best of 2; next is b:l0 (0.30)" in page
    assert "| a:l0 → b:l1 | 0.40 | own | 70.0 | 65.0 | -5.0 | 12.3 M |" in page
    assert "| l1 | 0.50 | - |" in page


def test_there_may_be_no_pairs_and_no_stitches() -> None:
    page = match_markdown({**matching(2, 2), "pairs": [], "stitches": []})
    assert "None." in page
    assert "predicted" not in page
    assert not pair_reasons({**matching(2, 2), "pairs": []})


def test_it_says_on_what_it_was_matched() -> None:
    told = match_words(matching(2, 2))
    assert told == (
        "a = net_a, b = net_b on 200 training images of digits at 8 pixels "
        "(40 held out, all positions of each)"
    )
