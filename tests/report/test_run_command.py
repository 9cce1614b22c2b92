"""How to reproduce a folder: the recorded commands come before what notes tell."""

from __future__ import annotations

from typing import Any

from convgraft.report.page import html_page
from convgraft.report.page_of_run import run_page
from convgraft.report.page_of_study import study_page
from convgraft.report.run_command import RECORDED, made_with, recorded, study_command

FIRST, LAST = "convgraft study ladder DATA --limits 100", "convgraft study ladder DATA --limits all"


def call(command: str, torch: str = "2.11") -> dict[str, Any]:
    return {"command": command, "versions": {"convgraft": "0.1.0", "torch": torch}}


def test_one_command_is_told_as_it_was_typed_however_often_it_went_on() -> None:
    assert recorded([call(FIRST)]) == (FIRST, RECORDED)
    command, words = recorded([call(FIRST)] * 3)
    assert command == FIRST
    assert words.startswith(RECORDED) and "3 calls" in words


def test_of_several_commands_the_first_and_the_last_are_told() -> None:
    command, words = recorded([call(FIRST), call("convgraft between"), call(LAST)])
    assert command == f"{FIRST}\n{LAST}"
    assert words.startswith("3 different commands")
    assert "command.json" in words


def test_versions_are_those_of_all_calls() -> None:
    assert made_with([call(FIRST), call(LAST, "2.12"), call(LAST, "2.12")]) == (
        ("convgraft that made it", "0.1.0"),
        ("torch that made it", "2.11, then 2.12"),
    )
    assert made_with([]) == ()


def test_notes_are_asked_where_nothing_was_recorded() -> None:
    config = {"study": "ladder", "models": ["A", "B"]}
    lines = [{"limit": None, "epochs": 3, "seed": 0}]
    assert study_command(config, lines)[1].startswith("Not recorded")
    assert study_command(config, lines, [call(LAST)]) == (LAST, RECORDED)


def test_pages_show_what_was_recorded_and_what_ran_it() -> None:
    calls = [call("convgraft fit 'a & b' --out <x>")]
    run = run_page("r", {"arm": "x", "rows": [], "convgraft": "9"}, calls=calls)
    study = study_page("s", {"study": "ladder", "convgraft": "9"}, [], calls=calls)
    for page in (run, study):
        assert page.command == calls[0]["command"]
        assert page.facts["Versions"][:2] == made_with(calls)
        assert "convgraft fit &#39;a &amp; b&#39; --out &lt;x&gt;" in html_page(page)
