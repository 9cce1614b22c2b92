"""The front of a search as a table, in words and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convgraft.report.front import FRONT_HEADER, front_cells, front_table, front_words
from convgraft.report.front_figure import draw_front


def line(name: str, networks: str, val: float, macs: int) -> dict[str, Any]:
    return {
        "name": name,
        "networks": list(networks),
        "val": val,
        "macs": macs,
        "parameters": 1234,
        "latency": 2.34,
        "seconds": 5.6,
    }


TRIALS = [
    line("probe a", "a", 0.8, 1_000_000),
    line("ladder a+b", "ab", 0.925, 3_000_000),
    line("probe b", "b", 0.7, 2_000_000),
]
TOLD = {
    "front": TRIALS[:2],
    "chosen": {**TRIALS[1], "test": {"top1": 0.9}},
    "best_single": TRIALS[0],
    "trials": 3,
    "networks": {"a": "cifar_resnet20", "b": "custom16"},
}


def test_cells_stand_below_the_header() -> None:
    (cells, _) = front_cells(TOLD["front"])
    assert cells == ["probe a", "80.00", "1.0", "1,234", "2.3", "6"]
    assert len(cells) == len(FRONT_HEADER)


def test_words_name_the_choice_its_test_and_the_single_network_beside_it() -> None:
    said = front_words(TOLD)
    assert said[0] == ("chosen of 3 trials: ladder a+b, validation top-1 92.50 %, 3.0 million MACs")
    assert said[1] == "test top-1 of ladder a+b: 90.00 %"
    assert said[2].startswith("best single network: probe a, validation top-1 80.00 %")
    assert said[3] == "networks: a = cifar_resnet20, b = custom16"
    page = front_table("Search", TOLD)
    assert page.count("\n| ") == 3
    assert "the test part was read once" in page
    assert len(front_words({**TOLD, "best_single": None})) == 3


def test_a_figure_has_a_name_for_every_step_of_the_front(tmp_path: Path) -> None:
    path = tmp_path / "front.svg"
    draw_front(TRIALS, TRIALS[:2], TRIALS[1], [path], title="Search on $_$")
    told = path.read_text()
    assert "<!-- Search on $_$ -->" in told
    assert "<!-- probe a -->" in told
    assert "<!-- ladder a+b -->" in told
    assert "<!-- probe b -->" not in told
