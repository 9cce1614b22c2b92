"""The strategy of "Your own strategy", added as the page says, is what the page says."""

from __future__ import annotations

import re

import pytest
from helpers_docs import DOCS, blocks

from convgraft.strategies import STRATEGIES
from convgraft.strategies.table import Strategy

PAGE = DOCS / "how-to" / "own-strategy.md"
ROW = re.compile(r'^ {4}"(?P<name>[\w-]+)": (?P<row>Strategy\(.*\)),$', re.MULTILINE)
MOST_LINES = 120


def codes() -> list[str]:
    return [block.text for block in blocks(PAGE) if block.language == "python"]


@pytest.mark.parametrize("training", [False, True])
def test_file_row_and_oracle_test_fit_together(
    training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, test = codes()
    row = ROW.search(PAGE.read_text())
    assert row
    namespace = {"Strategy": Strategy, "__name__": "own"}
    exec(compile(source, "mixture.py", "exec"), namespace)
    monkeypatch.setitem(STRATEGIES, row["name"], eval(row["row"], namespace))  # type: ignore[arg-type]
    exec(compile(test, "test_mixture.py", "exec"), namespace)
    tests = [made for name, made in namespace.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0](training)  # type: ignore[operator]


def test_the_strategy_is_as_short_as_the_page_says() -> None:
    source, test = (code.count("\n") for code in codes())
    text = PAGE.read_text()
    assert f", {source} lines:" in text and f", {test} lines," in text
    assert source + test + 2 < MOST_LINES
