"""The heat map in the terminal: numbers that need no colour, and never too wide."""

from __future__ import annotations

from typing import Any

import pytest

from convgraft.cli.match_view import heat_map, shortened


def matching(rows: int, columns: int, name: str = "layer{}") -> dict[str, Any]:
    cka: list[list[float | None]] = [
        [(i + j) / (rows + columns) for j in range(columns)] for i in range(rows)
    ]
    cka[0][0] = None
    networks = [
        {"name": side, "taps": [{"name": name.format(n)} for n in range(count)]}
        for side, count in (("a", rows), ("b", columns))
    ]
    pair = {"left": name.format(rows - 1), "right": name.format(columns - 1)}
    return {"networks": networks, "cka": cka, "pairs": [pair]}


def test_names_stand_above_where_they_fit() -> None:
    title, names, first, second, *_ = map(str, heat_map(matching(2, 3), 80))
    assert title == "CKA in hundredths: a down, b across; [ ] a chosen pair"
    assert names.split() == ["layer0", "layer1", "layer2"]
    assert first.split() == ["layer0", "-", "20", "40"]
    assert second.split() == ["layer1", "20", "40", "[", "60]"] or "[" in second


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("columns", [1, 15, 60])
def test_it_is_never_too_wide(width: int, columns: int) -> None:
    data = matching(5, columns, name="features.stage{}.block.conv.activation")
    lines = [str(line) for line in heat_map(data, width)]
    assert max(map(len, lines[1:])) <= width
    text = "\n".join(lines)
    assert text.count("[") == 2  # the title's and the pair's
    cells = [line for line in lines if line.startswith("feat")]
    assert sum(len(line.replace("[", " ").replace("]", " ").split()) - 1 for line in cells) == (
        5 * columns
    )


def test_numbered_columns_have_a_legend() -> None:
    data = matching(2, 30)
    text = "\n".join(str(line) for line in heat_map(data, 100))
    assert "1 layer0  2 layer1" in text
    assert "30 layer29" in text


def test_long_names_keep_both_ends() -> None:
    assert shortened("layer1.0") == "layer1.0"
    short = shortened("features.denseblock3.denselayer12.conv2")
    assert len(short) == 24
    assert short.startswith("features.de")
    assert short.endswith("ayer12.conv2")


def test_cells_are_coloured_by_likeness() -> None:
    line = list(heat_map(matching(2, 3), 80))[3]
    styles = {str(span.style) for span in line.spans}
    assert any("on rgb(" in style for style in styles)
    assert len(styles) > 2
