"""`convgraft report` on a run and on a study, as a user would see it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import webbrowser
from pathlib import Path

import pytest
import torch
from helpers_cli import convgraft

from convgraft.strategies import Ingredients
from convgraft.studies import Design, Predictions, build_arm
from helpers import opened

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder, written by hand: two seeds of a join and a probe, with predictions."""
    folder = tmp_path_factory.mktemp("studies") / "mine"
    folder.mkdir()
    given = Ingredients({name: opened("cifar_resnet20") for name in "ab"}, 16, 3)
    arm = build_arm(Design("cross-skip"), given)
    gates = {str(wire): 0.25 for wire in arm.plan.wires}
    config = {"study": "strategies", "models": ["x", "y"], "data": "f" * 64, "convgraft": "0.1.0"}
    arms = {"cross-skip": [str(arm.plan), arm.policy.as_data(), "task"]}
    (folder / "study.json").write_text(json.dumps({**config, "arms": arms, "options": {}}))
    lines = []
    for seed in (0, 1):
        for name, kind, right in (("cross-skip", "join", 25), ("probe-a", "baseline", 20)):
            labels = torch.arange(30) % 3
            chances = torch.full((30, 3), 0.1)
            chances[torch.arange(30), (labels + (torch.arange(30) >= right)) % 3] = 0.8
            found = Predictions(
                tuple(f"{EVIL}/{n}.png" for n in range(30)), labels, chances, ("a", "b", EVIL)
            )
            found.save(folder / "predictions" / f"all-{seed}" / f"{name}.safetensors")
            cost = {"macs": 10_000, "parameters": 10, "trainable": 4, "seconds": 1.0}
            place = {"cell": f"all-{seed}", "limit": None, "seed": seed, "epochs": 1}
            told = {"kind": kind, "baseline": "" if kind == "join" else "probe", "arm": name}
            line = {**place, **told, "training_images": 90, "val": 0.8, **cost}
            lines.append({**line, "test": found.metrics().as_dict(), "gates": gates})
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "results.jsonl").write_text(text + '{"cell": "unfin')
    return folder


def test_a_runs_report_lies_in_its_folder_and_tells_all_of_it(run: Path) -> None:
    outcome = convgraft("report", run)
    assert outcome.code == 0, outcome.err
    text = (run / "report.html").read_text()
    (run / "report.html").unlink()
    for section in ("arms", "cost", "curves", "fusion", "frozen", "again"):
        assert f'<section id="{section}"' in text
    assert "learned" in text
    assert "convgraft fit" in text
    assert str(run) not in text.split("How to reproduce it")[0]
    assert outcome.err.endswith(
        f"written to {run}/report.html; next: open it in a browser, or convgraft export {run}\n"
    )


def test_a_runs_mistakes_are_shown_with_their_pictures(run: Path, tmp_path: Path) -> None:
    if not (run / "predictions").is_dir():
        pytest.skip("this run kept no predictions")
    outcome = convgraft("report", run, "--out", tmp_path / "r.html")
    assert outcome.code == 0, outcome.err
    text = (tmp_path / "r.html").read_text()
    assert '<section id="confusion"' in text
    assert text.count('<img src="data:image/png;base64,') == text.count('<p class="file">')


def test_a_studys_report_compares_and_shows_the_best_join(study: Path, tmp_path: Path) -> None:
    before = (study / "results.jsonl").read_bytes()
    outcome = convgraft("report", study, "--out", tmp_path / "study.html", "--trust-python")
    assert outcome.code == 0, outcome.err
    text = (tmp_path / "study.html").read_text()
    for section in ("arms", "cost", "confusion", "calibration", "mistakes", "fusion", "again"):
        assert f'<section id="{section}"' in text, outcome.err
    assert "cross-skip has a mean test top-1 of 83.33" in text
    assert "0.2500 (mean |gate|" in text
    assert EVIL not in text
    assert (study / "results.jsonl").read_bytes() == before


def test_predictions_that_cannot_be_read_are_told_and_left_out(study: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(study, tmp_path / "copy")
    (copy / "predictions" / "all-0" / "cross-skip.safetensors").write_bytes(b"x" * 50)
    outcome = convgraft("report", copy, "--format", "md", "--trust-python")
    assert outcome.code == 0, outcome.err
    assert "left out: the predictions in" in outcome.err
    assert "cross-skip: 30 answers on test images." in (copy / "report.md").read_text()
    (copy / "predictions" / "all-1" / "cross-skip.safetensors").write_bytes(b"")
    outcome = convgraft("report", copy, "--format", "md", "--trust-python")
    assert outcome.code == 0, outcome.err
    assert "## Confusion" not in (copy / "report.md").read_text()


def test_the_form_is_that_of_the_option_or_of_the_suffix(study: Path, tmp_path: Path) -> None:
    assert convgraft("report", study, "--out", tmp_path / "s.csv").code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text())))
    assert [row["arm"] for row in rows] == ["cross-skip", "probe-a"] * 2
    assert float(rows[0]["test_top1"]) == pytest.approx(25 / 30)
    assert convgraft("report", study, "--format", "md", "--out", tmp_path / "s.txt").code == 0
    assert (tmp_path / "s.txt").read_text().startswith("# mine\n")


def test_open_shows_the_file_in_a_browser(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(shown.append(url)) or True)
    outcome = convgraft("report", study, "--out", tmp_path / "s.md", "--open")
    assert outcome.code == 0, outcome.err
    assert shown == [(tmp_path / "s.md").as_uri()]
    assert outcome.err.endswith(f"written to {tmp_path}/s.md\n")
    outcome = convgraft("report", study, "--out", tmp_path / "s.html", "--trust-python")
    assert outcome.err.endswith(f"written to {tmp_path}/s.html; next: open it in a browser\n")


@pytest.mark.parametrize(
    ("has_browser", "said"),
    [
        (True, "written to {run}/report.html; next: convgraft export {run}\n"),
        (False, "written to {run}/report.html; next: open it in a browser, or convgraft export"),
    ],
)
def test_what_is_open_already_is_not_opened_next(
    run: Path, monkeypatch: pytest.MonkeyPatch, has_browser: bool, said: str
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda url: has_browser)
    outcome = convgraft("report", run, "--open")
    (run / "report.html").unlink()
    assert said.format(run=run) in outcome.err
    assert has_browser is ("there is no browser to open it in" not in outcome.err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{tmp}",), "is no finished run and no study"),
        (("{tmp}/none",), "no such folder"),
        (("{study}", "--format", "pdf"), 'there is no report as "pdf"'),
        (("{study}", "--out", "{tmp}/none/x.html"), "there is no folder"),
        (("{study}", "--out", "{tmp}", "--format", "html"), "is a folder"),
        (("{study}", "--data", "{tmp}/none"), "none"),
    ],
)
def test_wrong_use_is_told(
    study: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    given = [text.format(tmp=tmp_path, study=study) for text in arguments]
    outcome = convgraft("report", *given)
    assert outcome.code == 2
    assert said in outcome.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("changed", [{"rows": [{"test": {"x": 1}}]}, {"freeze": "all"}])
def test_notes_written_by_hand_are_told(
    run: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    mine = Path(shutil.copytree(run, tmp_path / "mine"))
    (mine / "SHA256SUMS").unlink()
    notes = json.loads((mine / "metrics.json").read_text())
    (mine / "metrics.json").write_text(json.dumps({**notes, **changed}))
    outcome = convgraft("report", mine)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert "are not as convgraft writes them" in outcome.err and "metrics.json" in outcome.err
    assert not (mine / "report.html").exists()


@pytest.mark.parametrize("changed", [{"arms": {"cross-skip": 1}}, {"options": []}])
def test_a_studys_notes_written_by_hand_are_told(
    study: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    mine = Path(shutil.copytree(study, tmp_path / "mine"))
    notes = json.loads((mine / "study.json").read_text())
    (mine / "study.json").write_text(json.dumps({**notes, **changed}))
    outcome = convgraft("report", mine)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert "are not as convgraft writes them" in outcome.err
