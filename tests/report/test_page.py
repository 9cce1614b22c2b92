"""The report's page: complete in itself, honest about what is not known, and safe with any name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from convgraft.report.page import html_page
from convgraft.report.page_data import Page
from convgraft.report.page_of_run import run_page
from convgraft.report.page_of_study import study_page
from convgraft.report.page_text import csv_page, markdown_page

EVIL = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Elements with their attributes, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.raw = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.raw = tag if tag in ("script", "style") else self.raw

    def handle_endtag(self, tag: str) -> None:
        self.raw = "" if tag == self.raw else self.raw

    def handle_data(self, data: str) -> None:
        if not self.raw:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def ids(self) -> list[str]:
        return [told["id"] or "" for _, told in self.elements if "id" in told]


def line(arm: str, kind: str, top1: float, *, limit: int | None = None, seed: int = 0) -> Any:
    test = {"images": 100, "top1": top1, "balanced": top1, "nll": 0.4, "ece": 0.05}
    cost = {"macs": 2_000_000, "parameters": 10, "trainable": 5, "seconds": 1.0}
    place = {"cell": f"{limit or 'all'}-{seed}", "limit": limit, "seed": seed, "epochs": 2}
    told = {"kind": kind, "baseline": "probe" if kind == "baseline" else "", "arm": arm}
    return {**place, "training_images": limit or 900, **told, "val": top1, "test": test, **cost}


def test_names_from_outside_are_text_wherever_they_stand(full_page: Page) -> None:
    read = Reader(html_page(full_page))
    assert [tag for tag, _ in read.elements].count("script") == 1
    assert not any(name.startswith("on") for _, told in read.elements for name in told)
    for place in (f"finetune-{EVIL}", f"pictures/{EVIL}", f"{EVIL}/", '" onload="alert(2)'):
        assert place in read.text


def test_the_page_asks_no_network_for_anything(full_page: Page) -> None:
    read = Reader(html_page(full_page))
    for _, told in read.elements:
        for name in ("src", "href", "action", "poster", "data", "xlink:href"):
            address = told.get(name) or "#"
            assert address.startswith(("#", "data:")), address
    policy = next(t for _, t in read.elements if t.get("http-equiv"))["content"] or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "@import" not in html_page(full_page)
    assert "url(" not in html_page(full_page)


def test_every_section_is_there_once_and_linked_to(full_page: Page) -> None:
    read = Reader(html_page(full_page))
    ids = read.ids()
    assert len(ids) == len(set(ids))
    links = {(told["href"] or "")[1:] for tag, told in read.elements if tag == "a"}
    sections = {"arms", "cost", "curves", "confusion", "calibration", "mistakes"}
    assert sections | {"fusion", "frozen", "again"} == links - {"content"}
    assert links <= set(ids)
    assert "cross-skip is 0.4 points above average-finetune" in read.text


def test_what_is_not_known_has_no_section(metrics: Mapping[str, Any]) -> None:
    bare = {key: metrics[key] for key in ("arm", "rows")}
    ids = Reader(html_page(run_page("bare", bare))).ids()
    assert {"arms", "cost"} <= set(ids)
    assert not {"curves", "confusion", "calibration", "mistakes", "fusion", "frozen"} & set(ids)


def test_a_run_without_other_arms_claims_no_comparison(metrics: Mapping[str, Any]) -> None:
    alone = {**metrics, "rows": metrics["rows"][:1]}
    told = run_page("one", alone).verdict
    assert told == (
        "cross-skip is right on 91.20 % of 500 test images. No other arm was trained beside it, "
        "so this is no comparison.",
    )


def test_a_run_that_was_never_tested_says_so() -> None:
    page = run_page("untested", {"arm": "ensemble", "rows": []})
    assert "not evaluated" in page.verdict[0]
    assert "not evaluated" in html_page(page)


def test_the_table_has_every_arm_best_first_and_marks_the_runs_own(full_page: Page) -> None:
    names = [cells[0] for cells in full_page.arms.rows]
    assert names == ["cross-skip", "average-finetune", f"finetune-{EVIL}", "probe-a"]
    assert full_page.arms.marked == {0}


def test_the_command_asks_for_what_was_noted(metrics: Mapping[str, Any]) -> None:
    page = run_page("runs", metrics)
    assert page.command.startswith(f"convgraft fit 'pictures/{EVIL}' --plan RUN/plan.yaml")
    assert "--freeze discriminative --epochs 4 --lr 0.001 --seed 0" in page.command
    assert page.command_words.startswith("Not recorded")
    assert "--limit" not in page.command
    fewer = {**metrics, "data": {**metrics["data"], "training_images": 100}}
    assert "--limit 100" in run_page("runs", fewer).command


def test_a_study_is_told_by_limit_and_its_failed_arms_are_named() -> None:
    lines = [
        line(arm, kind, top1 + 0.01 * seed, limit=limit, seed=seed)
        for limit, top1s in ((100, (0.7, 0.72)), (None, (0.9, 0.85)))
        for (arm, kind), top1 in zip((("x", "join"), ("probe-a", "baseline")), top1s, strict=True)
        for seed in (0, 1)
    ]
    failed = {"cell": "all-0", "limit": None, "seed": 0, "arm": "y", "failed": f"boom {EVIL}"}
    page = study_page("s", {"study": "ladder", "models": ["A", "B"]}, [*lines, failed])
    assert page.verdict[0] == f"y failed in all-0: boom {EVIL}"
    assert page.verdict[1].startswith("With 900 training images, x has a mean test top-1 of 90.50")
    assert page.verdict[2].startswith("With 100 training images, x has")
    assert page.charts[0].log
    assert [one.name for one in page.charts[0].series] == ["x", "probe-a"]
    assert [one.name for one in page.points] == ["x", "probe-a"]
    assert page.command.startswith("convgraft study ladder DATA --models A B --limits 100 all")
    read = Reader(html_page(page))
    assert {"failed", "curves"} <= set(read.ids())
    assert [tag for tag, _ in read.elements].count("script") == 1


def test_markdown_tells_the_same_without_pictures(full_page: Page) -> None:
    text = markdown_page(full_page)
    titles = [part[3:].partition(" (")[0] for part in text.splitlines() if part.startswith("## ")]
    assert titles == [
        *("Arms", "Accuracy and cost", "Confusion", "Calibration", "Worst mistakes"),
        *("Fusion map", "What was frozen", "How to reproduce it"),
    ]
    assert text.count("| cross-skip |") == 1


def test_csv_holds_the_raw_figures_of_every_arm(
    full_page: Page, metrics: Mapping[str, Any]
) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_page(full_page))))
    assert [row["arm"] for row in rows] == [row["arm"] for row in metrics["rows"]]
    assert [float(row["test_top1"]) for row in rows] == [0.912, 0.874, 0.904, 0.908]
    assert csv_page(replace(full_page, lines=())).strip() == ""
