"""The harness itself: it notices what is wrong, goes on where it stopped, and tells all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from trial_log import FILE, Done, TrialLog

HERE = Path(__file__).parent
MADE_UP = """
import os
import signal
import time
from pathlib import Path

from campaign import Campaign, Trial

TRIED = Path(__file__).with_name("tried")
HEARD = Path(__file__).with_name("out") / "trials.jsonl"


def noted(name, number):
    with TRIED.open("a") as file:
        file.write(f"{name} {number}\\n")


def good(seed, count, folder, first=0):
    assert not list(folder.iterdir())
    for number in range(first, count):
        noted("good", number)
        yield Trial(f"case {seed + number}")
        if number == 2 and os.environ.get("STOP"):
            while '"case 2"' not in HEARD.read_text():
                time.sleep(0.01)
            os.kill(os.getppid(), getattr(signal, os.environ["STOP"]))
            time.sleep(60)


def bad(seed, count, folder):
    for number in range(count):
        noted("bad", number)
        yield Trial(f"case {number}", "a | b is broken" if number == 1 else "")


def raising(seed, count, folder):
    yield Trial("case 0")
    raise KeyError("oh")


def dying(seed, count, folder):
    yield Trial("case 0")
    os.kill(os.getpid(), signal.SIGSEGV)


def short(seed, count, folder):
    yield Trial("case 0")


def hanging(seed, count, folder):
    yield Trial("case 0")
    if "CONVGRAFT_TRIAL_LIMIT" in os.environ:
        time.sleep(1000)
    yield from (Trial(f"case {number}") for number in range(1, count))


CAMPAIGNS = tuple(
    Campaign(number, trials.__name__, f"{trials.__name__} holds", 1, 6, trials)
    for number, trials in enumerate((good, bad, raising, dying, short, hanging), 1)
)
"""


@dataclass(frozen=True)
class Bench:
    """A folder with made-up campaigns, and the command that runs them."""

    folder: Path

    def start(self, *arguments: object, **more: str) -> subprocess.Popen[str]:
        command = (sys.executable, HERE / "torture.py", "--modules", "made_up")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
        paths = os.pathsep.join((str(self.folder), os.environ.get("PYTHONPATH", "")))
        return subprocess.Popen(
            [*map(str, (*command, "--out", self.folder / "out", *arguments))],
            env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200", **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: object, **more: str) -> tuple[int, str]:
        with self.start(*arguments, **more) as process:
            said, _ = process.communicate(timeout=300)
        return process.returncode, said

    def tried(self, name: str) -> list[int]:
        told = (self.folder / "tried").read_text().splitlines()
        return [int(line.split()[1]) for line in told if line.split()[0] == name]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "made_up.py").write_text(MADE_UP)
    return Bench(tmp_path)


def test_each_failure_is_named_and_stops_no_other(bench: Bench) -> None:
    code, said = bench.run("--share", 0.5, "--seed", 4)
    assert code == 1
    for line in (
        "bad, seed 4, trial 1: case 1: a | b is broken",
        "raising, seed 4, trial 1: the campaign",
        "KeyError: 'oh'",
        "its process ended with -11",
        "only 1 of 3 trials were made",
    ):
        assert line in said
    assert bench.tried("good") == bench.tried("bad") == [0, 1, 2]
    assert "good, seed" not in said
    log = TrialLog(bench.folder / "out")
    assert [one.what for one in log.of("good", 4)] == ["case 4", "case 5", "case 6"]
    assert "KeyError" in (bench.folder / "out" / "raising.log").read_text()


@pytest.mark.parametrize("number", ["SIGINT", "SIGKILL"])
def test_it_goes_on_where_it_was_stopped(bench: Bench, number: str) -> None:
    code, said = bench.run("--only", "good", STOP=number)
    assert code == (1 if number == "SIGINT" else -signal.SIGKILL)
    assert ("the same command goes on" in said) is (number == "SIGINT")
    assert TrialLog(bench.folder / "out").count("good", 0) == 3
    whole = [0, 1, 2, 3, 4, 5]
    for _ in range(2):
        assert bench.run("--only", "good")[0] == 0
        assert bench.tried("good") == whole
    assert bench.run("--only", "good", "--share", 0.2, "--again")[0] == 0
    assert bench.tried("good") == [*whole, 0, 1]


def test_a_campaign_that_cannot_skip_begins_anew_and_a_whole_one_does_not(bench: Bench) -> None:
    for share in (0.5, 0.5, 1):
        bench.run("--only", "bad", "--share", share)
    assert bench.tried("bad") == [0, 1, 2, 0, 1, 2, 3, 4, 5]
    assert len(TrialLog(bench.folder / "out").of("bad", 0)) == 6


def test_nothing_that_was_started_is_left(bench: Bench) -> None:
    with bench.start("--only", "good", STOP="SIGINT") as process:
        process.communicate(timeout=300)
    until = time.monotonic() + 120
    while (left := processes_of(bench.folder)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def processes_of(folder: Path) -> list[bytes]:
    """The commands of all that were started with something in that folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append((place / "cmdline").read_bytes())
    return [command for command in found if str(folder).encode() in command]


def test_the_table_is_put_into_a_page(bench: Bench) -> None:
    page = bench.folder / "page.md"
    page.write_text("before\n\n<!-- torture -->\nold\n<!-- /torture -->\n\nafter\n")
    for _ in range(2):
        bench.run("--share", 0.5, "--only", "good", "bad", "--markdown", page)
    text = page.read_text()
    assert text.startswith("before\n\n<!-- torture -->\n2")
    assert text.endswith("|2|bad|bad holds|3|1|0|\n\n<!-- /torture -->\n\nafter\n")
    assert "|1|good|good holds|3|0|0|" in text and "\nold\n" not in text
    assert "torture.py --modules made_up" in text and "Python 3" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--only", "gone"), "no campaign gone; there are good"), (("--share", "0"), "above 0")],
)
def test_wrong_use(bench: Bench, arguments: tuple[str, ...], words: str) -> None:
    code, said = bench.run(*arguments)
    assert code == 2 and words in said


def test_a_line_that_was_cut_short_is_taken_off(tmp_path: Path) -> None:
    with TrialLog(tmp_path).writing() as writer:
        for number in (0, 1, 3):
            writer.add(Done("a", 0, number, "x", "", 0.1))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"campaign": "a", "se')
    log = TrialLog(tmp_path)
    assert log.count("a", 0) == 2 and log.count("a", 1) == log.count("b", 0) == 0
    with log.writing() as writer:
        writer.add(Done("a", 0, 1, "again", "", 0.1))
    assert [one.what for one in TrialLog(tmp_path).of("a", 0)] == ["x", "again", "x"]


def test_a_trial_that_hangs_is_ended_and_told(bench: Bench) -> None:
    code, said = bench.run("--only", "hanging", "good", CONVGRAFT_TRIAL_LIMIT="20")
    assert code == 1
    assert "hanging, seed 0, trial 1: the campaign" in said
    assert "was ended after 20 s" in said
    assert bench.tried("good") == [0, 1, 2, 3, 4, 5]
