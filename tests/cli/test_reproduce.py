"""`convgraft reproduce` from end to end, on a few pictures in the places of the paper's sets."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from helpers_cli import Outcome, convgraft

from convgraft.cli.main import spread_values
from convgraft.cli.reproduce_results import _public
from convgraft.cli.reproduce_table import _figure, percentage
from convgraft.cli.reproduce_words import row_words
from convgraft.studies import Interval
from convgraft.studies.paper import Against, ArmFigure, RowOutcome, read_rows

sys.path.insert(0, str(Path(__file__).parents[1] / "studies" / "paper"))

ARMS = [
    *("cross-skip-raw", "cross-skip-zero", "ladder", "parallel", "co-learning"),
    *("probe-a", "probe-b", "finetune-a", "finetune-b", "average-probe", "average-finetune"),
]
ROW = read_rows()["table3-3"]


def reproduce(data: Path, out: Path, *more: object) -> Outcome:
    return convgraft("reproduce", *more, "--scale", "smoke", "--data", data, "--out", out)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from helpers_paper import write_sets

    return write_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables 1 and 3 with one row run, which is a row of table 2 as well."""
    folder = tmp_path_factory.mktemp("reproduced") / "out"
    page = folder.parent / "docs" / "page.md"
    asked = ("table1", "table3", "--rows", "table3-3", "--seeds", 1, "--markdown", page)
    outcome = reproduce(data, folder, *asked)
    assert outcome.code == 0, outcome.err
    assert "table3-3 is done: 100 % of everything" in outcome.err
    assert page.read_text() == (folder / "REPRODUCED.md").read_text() == outcome.out[:-1]
    return folder


def test_every_arm_of_a_row_has_a_figure_beside_the_papers(out: Path) -> None:
    told = json.loads((out / "reproduced.json").read_text())
    assert [row["row"] for row in told["table3"]] == ["table3-1", "table3-2", "table3-3"]
    assert [row["ours"] is None for row in told["table3"]] == [True, True, False]
    ours = told["table3"][2]["ours"]
    assert [arm["arm"] for arm in ours["arms"]] == ARMS and ours["failed"] == []
    assert all(arm["top1"]["low"] <= arm["top1"]["value"] for arm in ours["arms"])
    assert told["table2"][8]["ours"]["arms"] == ours["arms"]  # run once, read twice
    (line,) = [x for x in (out / "REPRODUCED.md").read_text().splitlines() if "| table3-3" in x][:1]
    assert "| 42.15 | 38.46 | 68.48 |" in line
    assert line.count("[") == len(ARMS) + 2


def test_table_1_counts_what_is_there(out: Path) -> None:
    text = (out / "REPRODUCED.md").read_text()
    assert "| blue |  | 20 |" in text
    assert "| Natural Images | 3 | 20 | 60 | 16 | 1 |" in text
    assert "| CIFAR-100 | 3 | 25 | 75 (60 train, 15 test) |" in text


def test_it_says_how_it_was_made_and_nothing_of_the_machine(out: Path, data: Path) -> None:
    text = (out / "REPRODUCED.md").read_text()
    assert "--scale smoke --data DATA --out" in text
    assert re.search(r"on \d{4}-\d\d-\d\d, scale smoke .* with convgraft .*torch", text)
    assert str(data) not in text + (out / "reproduced.json").read_text()
    assert "A few dozen images" in text and "the paper has no validation part" in text
    assert "| custom16-cifar100-2 | 16 | 128 | 1 | 1 |" in text


def test_networks_learn_once_and_finished_rows_are_left_alone(out: Path, data: Path) -> None:
    learned = out / "pretrained" / "custom16-cifar100"
    results = out / "table3" / "table3-3" / "results.jsonl"
    before = [path.read_bytes() for path in (learned / "model.safetensors", results)]
    outcome = reproduce(data, out, "table2", "--rows", "table2-9", "--seeds", 1, "--json")
    assert outcome.code == 0, outcome.err
    assert " is done" not in outcome.err
    assert [x.read_bytes() for x in (learned / "model.safetensors", results)] == before
    assert len(json.loads(outcome.out)["commands"]) == 2


def test_a_rows_folder_and_a_learned_network_have_reports(out: Path) -> None:
    for folder in (out / "table3" / "table3-3", out / "pretrained" / "custom16-cifar100"):
        page = out / f"{folder.name}.md"
        outcome = convgraft("report", folder, "--out", page)
        assert outcome.code == 0, outcome.err
        assert folder.name in page.read_text()


def test_another_scale_is_refused(out: Path, data: Path) -> None:
    more = ("--data", data, "--out", out, "--rows", "table3-3")
    outcome = convgraft("reproduce", "table3", "--scale", "cpu", *more)
    assert outcome.code == 2
    assert "learned something else" in outcome.err and "another --out" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("table4",), "did you mean table3"),
        (("table3", "--rows", "table3-9"), 'no row "table3-9"'),
        (("table3", "--scale", "huge"), 'no scale called "huge"'),
        (("table2", "--rows", "table2-1"), "squeezenet1_1-imagenet.safetensors in a folder of"),
    ],
)
def test_wrong_use_is_told_before_any_work(
    arguments: tuple[str, ...],
    said: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CONVGRAFT_WEIGHTS", raising=False)
    outcome = convgraft("reproduce", *arguments, "--data", data, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert said in outcome.err
    assert not (tmp_path / "out").exists()


def test_data_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVGRAFT_DATA", str(tmp_path / "nowhere"))
    outcome = convgraft("reproduce", "table1", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert f"natural_images in {tmp_path / 'nowhere'}" in outcome.err
    monkeypatch.delenv("CONVGRAFT_DATA")
    outcome = convgraft("reproduce", "table1", "--out", tmp_path / "out")
    assert outcome.code == 2 and "--data DIR or CONVGRAFT_DATA" in outcome.err


def told(single: tuple[float, float, float], vote: tuple[float, float, float]) -> str:
    """The words for a best join of 70 % with these points over its rivals."""
    best = ArmFigure("ladder", "join", Interval(0.7, 0.6, 0.8), 0.7, 5, 1.0, 1.0)
    against = (
        Against(rival, Interval(*points))
        for rival, points in (("finetune-b", single), ("average-probe", vote))
    )
    return row_words(ROW, RowOutcome(ROW.name, {}, [best], "ladder", *against, []))


def test_words_say_what_wins_and_where_the_vote_is_better() -> None:
    won, lost, tie = (0.04, 0.02, 0.06), (-0.04, -0.06, -0.02), (0.01, -0.01, 0.03)
    both = told(won, won)
    assert "ladder is the best join, 70.0 %, at or above the paper's 68.48." in both
    assert "4.0 points [2.0, 6.0] above the fine-tune of network 2" in both
    assert both.endswith("Joining is the better choice here.")
    assert told(won, lost).endswith("The average vote is the better choice here.")
    assert "4.0 points [2.0, 6.0] below the average vote of probes" in told(won, lost)
    assert told(won, tie).endswith("the vote is the simpler choice.")
    assert "a tie with the average vote of probes (+1.0 points [-1.0, 3.0])" in told(won, tie)
    assert told(lost, tie).endswith("One network alone is the better choice here.")
    assert told(tie, won).endswith("no better than one network.")
    assert row_words(ROW, None) == "table3-3: not run yet."


def test_figures_and_commands_as_text() -> None:
    assert percentage(Interval(0.925, 0.919, 0.9304)) == "92.5 [91.9, 93.0]"
    assert _public("convgraft reproduce --data /home/me --weights=w --markdown ~/page.md") == (
        "convgraft reproduce --data DATA --weights=WEIGHTS --markdown FILE"
    )
    spread = spread_values(["reproduce", "table2", "--rows", "table2-1", "table2-2"])
    assert spread[2:] == ["--rows", "table2-1", "--rows", "table2-2"]


def test_an_arm_that_a_row_does_not_have_did_not_fail_there() -> None:
    outcome = RowOutcome("", {}, [], "", None, None, [])
    small, large = read_rows()["table3-1"], read_rows()["table2-1"]
    assert _figure(small, outcome, "co-learning") == _figure(large, outcome, "ladder") == "failed"
    assert _figure(small, None, "co-learning") == "not run"
    assert _figure(large, outcome, "co-learning") == _figure(large, None, "co-learning") == ""
