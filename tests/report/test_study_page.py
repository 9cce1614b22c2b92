"""A study's page: how arms learned, what leaked, and what was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import pytest

from convgraft.report.page import html_page
from convgraft.report.page_data import Page
from convgraft.report.page_of_study import study_page
from convgraft.report.page_text import csv_page, markdown_page
from convgraft.report.study_charts import learning_curves
from convgraft.report.study_tables import MOST_LEAKS, leaks_table

CONFIG = {"study": "ladder", "models": ["A", "B"]}
DIGEST = "ab" * 32
LEAK = {"digest": DIGEST, "places": [["train", "cat/1.png"], ["test", "dog/<b>.png"]]}


def line(arm: str, seed: int, tops: Sequence[float], limit: int | None = None) -> dict[str, Any]:
    test = {"images": 100, "top1": 0.9, "balanced": 0.8, "nll": 0.4, "ece": 0.05}
    cost = {"macs": 2_000_000, "parameters": 10, "trainable": 5, "seconds": 1.0}
    place = {"cell": f"{limit or 'all'}-{seed}", "limit": limit, "seed": seed, "epochs": len(tops)}
    told = {"kind": "join", "baseline": "", "arm": arm, "val": 0.9, "test": test, **cost}
    curve = [
        {"epoch": n, "train_loss": 1.0, "val_top1": top, "val_nll": 0.4}
        for n, top in enumerate(tops)
    ]
    speed = {"latency": {"1": 3.25, "32": 0.875}}
    return {**place, "training_images": limit or 900, **told, "curve": curve, **speed}


@pytest.fixture
def page() -> Page:
    lines = [
        line("x", 0, (0.5, 0.7, 0.9)), line("x", 1, (0.6, 0.9)), line("y", 0, (0.4, 0.5)),
        line("x", 0, (0.1, 0.2), limit=100), line("once", 0, (0.9,)),
    ]  # fmt: skip
    return study_page("s", CONFIG, lines, leaks={"all-0": [LEAK], "all-1": [LEAK]})


def test_curves_are_means_over_the_epochs_that_all_seeds_have(page: Page) -> None:
    over_images, small, whole = page.charts
    assert over_images.log
    assert small.title == "Validation top-1 over epochs, 100 training images"
    assert whole.title.endswith("900 training images, mean over 2 seeds")
    assert [one.name for one in whole.series] == ["x", "y"]  # one epoch is no curve
    points = whole.series[0].points
    assert [x for x, _ in points] == [1, 2]
    assert [y for _, y in points] == pytest.approx([100 * (0.5 + 0.6) / 2, 100 * (0.7 + 0.9) / 2])


def test_lines_without_curves_have_no_chart() -> None:
    bare = {key: value for key, value in line("x", 0, (0.1, 0.2)).items() if key != "curve"}
    assert learning_curves([bare]) == ()
    broken = line("x", 0, (0.1, 0.2))
    broken["curve"][1]["val_top1"] = None
    assert learning_curves([broken]) == ()


def test_leaks_are_told_by_hash_and_once_for_each_picture(page: Page) -> None:
    assert page.leaks is not None
    assert page.leaks.rows == ((DIGEST, "train cat/1.png; test dog/<b>.png", "all-0, all-1"),)
    text = html_page(page)
    assert '<section id="leaks"' in text and DIGEST in text and "dog/&lt;b&gt;.png" in text
    assert "A picture lies in more than one part of a split: see Leaks." in page.verdict
    assert "## Leaks" in markdown_page(page)
    assert leaks_table({}) is None
    assert 'id="leaks"' not in html_page(study_page("s", CONFIG, [line("x", 0, (0.1, 0.2))]))


def test_of_many_leaks_some_are_listed_and_all_are_counted() -> None:
    many = [{"digest": f"{n:064}", "places": LEAK["places"]} for n in range(MOST_LEAKS + 3)]
    table = leaks_table({"all-0": many})
    assert table is not None
    assert len(table.rows) == MOST_LEAKS
    assert f"the first {MOST_LEAKS} of {MOST_LEAKS + 3}, leaks.json has all" in table.caption


def test_the_table_and_the_csv_have_every_measure(page: Page) -> None:
    row = dict(zip(page.arms.header, page.arms.rows[0], strict=True))
    assert (row["balanced, %"], row["NLL"], row["ECE"]) == ("80.00", "0.400", "0.050")
    assert (row["weights"], row["ms an image"], row["ms in a batch"]) == ("10", "3.250", "0.875")
    assert "error / average vote" not in row  # there is none
    told = next(csv.DictReader(io.StringIO(csv_page(page))))
    assert (told["test_nll"], told["latency_1"], told["latency_32"]) == ("0.4", "3.25", "0.875")
    assert "curve" not in told
