"""What is said while work goes on and nobody sees a bar."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from convgraft.cli import console
from convgraft.cli import main as program


def test_a_log_gets_a_line_of_progress_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 61.0, 61.0, 90.0, 130.0, 130.0])
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with console.progress() as report:
        for done in range(1, 5):
            report("[epoch]", done, 4)
    assert capsys.readouterr().err.splitlines() == ["[epoch]: 2 of 4", "[epoch]: 4 of 4"]


def test_a_short_command_stays_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as report:
        report("read images", 1, 2)
        report("read images", 2, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("command", "goes_on"), [("demo", True), ("fit", True), ("doctor", False)])
def test_ctrl_c_says_whether_the_same_command_goes_on(
    command: str,
    goes_on: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "_run", interrupted)
    with pytest.raises(SystemExit) as ended:
        program.main([command])
    told = capsys.readouterr().err
    assert ended.value.code == 1 and told.startswith("stopped")
    assert ("goes on" in told) is goes_on
