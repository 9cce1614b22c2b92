"""A study on several processes comes to what it comes to in one, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from helpers_spread import (
    CELLS,
    STUDY,
    Opener,
    assert_same,
    gone,
    killed_in_work,
    options,
    quiet,
    results,
    stopped_in_work,
)

from convgraft.durable.lines import Line, append_line
from convgraft.errors import DataError, RunError, UsageError
from convgraft.report import study_table
from convgraft.studies import StudyStore, failures, finished, run_study, summarise
from convgraft.studies.gpus import shares
from convgraft.studies.pool import Pool
from convgraft.studies.workers import Ended, Report, Work, Workers


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Two processes, which are gone after the test."""
    workers = Pool(2)
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study in one process."""
    place = tmp_path_factory.mktemp("whole")
    store = StudyStore.claim(place / "study", {"n": 1})
    run_study(STUDY, CELLS, Opener(place), options, store, quiet)
    assert len(store.lines) == 2 * 10 and failures(store.lines) == []
    return place / "study"


def spread(
    place: Path,
    pool: Workers,
    *,
    study: Any = STUDY,
    report: Report = quiet,
    crowd: int = 1,
    **wrong: str,
) -> tuple[StudyStore, Opener]:
    going_wrong = {name.replace("_", "-"): what for name, what in wrong.items()}
    opener = Opener(place, going_wrong, crowd=crowd)
    store = StudyStore.claim(place / "study", {"n": 1})
    run_study(study, CELLS, opener, options, store, report, pool)
    return store, opener


def table(folder: Path) -> str:
    """The table of a study, without what was measured."""
    lines = results(folder)
    return study_table(summarise([{**line, "seconds": 0.0} for line in lines]))


def test_lines_predictions_files_and_table_are_those_of_one_process(
    whole: Path, tmp_path: Path, pool: Pool
) -> None:
    told: list[tuple[str, int, int]] = []
    store, opener = spread(tmp_path, pool, crowd=2, report=lambda *one: told.append(one))
    assert_same(store.folder, whole)
    assert table(store.folder) == table(whole)
    assert store.lines == StudyStore.claim(store.folder, {"n": 1}).lines
    assert len(opener.workers) == 2 and failures(store.lines) == []
    assert told[-1] == ("study tiny", 20, 20)
    assert any(what.startswith("finetune-a, 20 images") for what, _, _ in told)
    pool.close()
    assert gone(opener)


@pytest.mark.slow
def test_an_arm_whose_process_dies_is_done_again(whole: Path, tmp_path: Path, pool: Pool) -> None:
    store, opener = spread(tmp_path, pool, ladder="die once", finetune_b="die once")
    assert {"ladder.began", "finetune-b.began"} <= {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.glob("*.pid"))) > len(opener.workers)
    assert_same(store.folder, whole)


@pytest.mark.slow
def test_an_arm_that_no_process_survives_has_failed_and_so_has_what_is_made_of_it(
    whole: Path, tmp_path: Path, pool: Pool
) -> None:
    store, _ = spread(tmp_path, pool, probe_b="die")
    told = {(line["cell"], line["arm"]): line["failed"] for line in failures(store.lines)}
    assert set(told) == {(c, a) for c in ("20-0", "20-1") for a in ("probe-b", "average-probe")}
    assert told["20-0", "probe-b"] == "the process that worked on it died, 4 times"
    assert "probe-b failed" in told["20-0", "average-probe"]
    assert len(finished(store.lines)) == 20 - 4
    pool.close()
    run_study(STUDY, CELLS, Opener(tmp_path), options, store, quiet)  # the rest, in one process
    ours = {(one["cell"], one["arm"]): one for one in results(store.folder) if "failed" not in one}
    assert ours == {(one["cell"], one["arm"]): one for one in results(whole)}
    assert not (store.folder / "state").exists()


def test_an_arm_that_raises_has_the_line_that_it_has_in_one_process(
    tmp_path: Path, pool: Pool
) -> None:
    some = replace(STUDY, only=("cross-skip", "average-probe", "distilled-a"))
    store, _ = spread(tmp_path, pool, study=some, probe_b="raise", finetune_a="raise")
    (tmp_path / "local").mkdir()
    local = Opener(tmp_path / "local", {"probe-b": "raise", "finetune-a": "raise"}, owner=0)
    alone = StudyStore.claim(tmp_path / "local" / "study", {"n": 1})
    from convgraft.studies import cell_work

    real = cell_work.train_arm
    try:
        run_study(some, CELLS, local, options, alone, quiet)
    finally:
        cell_work.train_arm = real
    assert results(store.folder) == results(alone.folder)
    assert [line["failed"] for line in failures(store.lines)[:2]] == [
        "the loss is not finite",
        "the loss is not finite",
    ]


def test_what_is_wrong_with_the_data_stops_the_study(tmp_path: Path, pool: Pool) -> None:
    with pytest.raises(DataError, match="no images"):
        spread(tmp_path, pool, cross_skip="data", ladder="wait")
    pool.close()
    assert gone(Opener(tmp_path))  # the one that waits too


@pytest.mark.slow
def test_members_are_trained_again_for_what_is_asked_for_later(
    whole: Path, tmp_path: Path, pool: Pool
) -> None:
    members = replace(STUDY, only=("finetune-a", "finetune-b"))
    store, _ = spread(tmp_path, pool, study=members)
    assert len(store.lines) == 4 and not (store.folder / "state").exists()
    store, _ = spread(tmp_path, pool)
    ours = {(line["cell"], line["arm"]): line for line in results(store.folder)}
    assert ours == {(line["cell"], line["arm"]): line for line in results(whole)}
    assert len(store.lines) == 20 and not (store.folder / "state").exists()


def test_ctrl_c_ends_all_processes_and_leaves_a_study_that_goes_on(
    whole: Path, tmp_path: Path, pool: Pool
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if (tmp_path / "ladder.began").exists() and done:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(RunError, match=r"stopped while . arms were in work") as told:
        spread(tmp_path, pool, report=stop, ladder="wait")
    assert "the same command goes on" in str(told.value)
    pool.close()
    assert gone(Opener(tmp_path))
    again = Pool(2)
    try:
        store, _ = spread(tmp_path, again)
    finally:
        again.close()
    assert_same(store.folder, whole)


class Here:
    """Does a task at once, in this process."""

    count = 1

    def __init__(self) -> None:
        self.ended: list[Ended] = []

    @property
    def has_room(self) -> bool:
        return not self.ended

    def start(self, key: Hashable, work: Work, task: Any) -> None:
        self.ended.append(Ended(key, work(task, quiet)))

    def finished(self, seconds: float, report: Report) -> list[Ended]:
        ended, self.ended = self.ended, []
        return ended

    def close(self) -> None:
        pass


def test_ctrl_c_right_after_a_result_was_written_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(path: Path, line: Line) -> None:
        append_line(path, line)
        raise KeyboardInterrupt

    monkeypatch.setattr("convgraft.studies.store.append_line", stopped)
    with pytest.raises(RunError, match="stopped while") as told:
        spread(tmp_path, Here(), study=replace(STUDY, only=("cross-skip",)))
    assert str(told.value.found).startswith("1 results are in ")


@pytest.mark.slow
def test_processes_end_with_the_one_that_began_them(whole: Path, tmp_path: Path) -> None:
    opener = killed_in_work(tmp_path, "pool")
    assert gone(opener)
    store = StudyStore.claim(tmp_path / "study", {"n": 1})
    run_study(STUDY, CELLS, opener, options, store, quiet)  # goes on in one process
    assert_same(store.folder, whole)


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_has_one_word_and_leaves_nobody(tmp_path: Path) -> None:
    opener, code, told = stopped_in_work(tmp_path, "pool")
    assert gone(opener)
    assert code == 1
    assert told.startswith("stopped while ") and "Traceback" not in told


PRESSED = """
import signal
from convgraft.studies import pool

class Pressed:
    def __init__(self, own):
        self.own = own

    def __reduce__(self):
        return press, (self.own,)

def press(own):
    signal.raise_signal(signal.SIGINT)
    return own

def work(task, report):
    return task + 1

if __name__ == "__main__":
    pool.PRELOADED = ("early",)
    pool.begin_server()
    workers = pool.Pool(1)
    workers._workers[0].surroundings = Pressed(workers._workers[0].surroundings)
    workers.start("one", work, 41)
    while not (ended := workers.finished(0.1, print)):
        pass
    print(ended[0].result, ended[0].lost)
    workers.close()
"""


@pytest.mark.slow
def test_ctrl_c_while_processes_begin_is_for_the_one_that_began_them(tmp_path: Path) -> None:
    """Once while their server imports, and once while a process takes over what it is given."""
    (tmp_path / "early.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    (tmp_path / "pressed.py").write_text(PRESSED)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, tmp_path / "pressed.py"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, timeout=600,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("42 \n", "")


def test_gpus_are_shared_out_and_never_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert shares(2, 0) == [None, None]
    assert shares(3, 2) == ["0", "1", "0"]
    assert shares(3, 2, 1) == ["0", "1"]
    assert shares(5, 2, 0.5) == ["0", "1", "0", "1"]
    assert shares(3, 4, 2) == ["0,1", "2,3"]
    assert shares(2, 2, 0) == ["", ""]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 7")
    assert shares(2, 2) == ["3", "7"]
    with pytest.raises(UsageError, match="too few GPUs"):
        shares(2, 1, 2)
    with pytest.raises(UsageError, match="too few GPUs"):
        shares(2, 0, 0.5)
