"""Promise 9: a server and a process that fits stay as large as they were, however long they work.

A trial is a window of one run: CONVGRAFT_WINDOW seconds, 60 in `make torture`, 2 by default. After
each, the whole run so far is judged: see steady.py for the bounds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from campaign import Campaign, Trial
from campaigns import reach_helpers
from steady import Sample, handles_of, handles_wrong, memory_of, memory_wrong

SERVE = """
import sys
from pathlib import Path
from convgraft.cli.serve import serve
serve(Path(sys.argv[1]), port=0, threads=1, engine="torch", max_mebibytes=1, max_images=4,
      max_pixels=1_000_000)
"""
QUIET = 60.0  # seconds in which connections that are over must be gone, on a busy machine


def window() -> float:
    """Seconds of a trial."""
    return float(os.environ.get("CONVGRAFT_WINDOW", "2"))


def serve_trials(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """One server under a mixed load, all the time; a trial is a window of it."""
    reach_helpers()
    from load import ask_all, ask_for

    with _server(_run(folder)) as (process, port):
        wrong = ask_all(port).wrong  # the first time costs memory that stays
        samples, handles = [], [_settled(process, 0)]
        began = time.monotonic()
        look = lambda: samples.append(Sample(time.monotonic() - began, memory_of(process)))  # noqa: E731
        for number in range(first, count):
            heard = ask_for(window(), port, f"{seed}/{number}", look)
            handles.append(_settled(process, max(handles)))
            wrong += [*heard.wrong[:3], memory_wrong(samples), handles_wrong(handles)]
            what = f"window {number}: {heard.count} requests, {_size(samples)}"
            yield Trial(what, "; ".join(filter(None, wrong)))
            wrong = []


def fit_trials(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Fits one after another in one process; a trial is a window of them. They are all seeded."""
    with _fits(folder) as lines:
        for _ in range(3):  # each way once: what is loaded for the first time stays
            next(lines)
        samples, handles = [], []
        for number in range(first, count):
            wrong, fits, until = [], 0, time.monotonic() + window()
            while not fits or time.monotonic() < until:
                told = next(lines)
                samples.append(Sample(told["seconds"], told["memory"]))
                handles.append(told["handles"])
                wrong += [f"{told['way']}: {told['wrong']}"] if told["wrong"] else []
                fits += 1
            wrong = [*wrong[:3], memory_wrong(samples), handles_wrong(handles)]
            what = f"window {number}: {fits} fits, {_size(samples)}"
            yield Trial(what, "; ".join(filter(None, wrong)))


def _size(samples: list[Sample]) -> str:
    return f"{samples[-1].memory / 2**20:.0f} MiB"


def _settled(process: int, most: int) -> int:
    """Handles of a process that nobody speaks to any more, as soon as they are that few."""
    until = time.monotonic() + (QUIET if most else 1.0)
    while time.monotonic() < until:
        time.sleep(0.1)
        if (held := handles_of(process)) <= most:
            break
    return held


def _run(folder: Path) -> Path:
    from tests.serve.conftest import LABELS, composed

    from convgraft.export import save
    from helpers import head

    composite = composed(
        head("own_a", "linear", "a:features", classes=4),
        head("label", "linear", "a:features", "b:features", classes=4),
    )
    return save(folder / "run", composite, labels=LABELS)


@contextmanager
def _server(run: Path) -> Iterator[tuple[int, int]]:
    """The id and the port of a server in a process of its own."""
    command = [sys.executable, "-c", SERVE, str(run)]
    log = run.with_name("server.log")
    with log.open("w") as said, subprocess.Popen(command, stderr=said) as process:
        try:
            while "http://" not in log.read_text():
                if process.poll() is not None:
                    raise RuntimeError(f"the server did not start: {log.read_text()}")
                time.sleep(0.05)
            port = log.read_text().partition("http://127.0.0.1:")[2].split()[0]
            yield process.pid, int(port)
        finally:
            process.kill()


@contextmanager
def _fits(folder: Path) -> Iterator[Iterator[dict[str, Any]]]:
    """What the process that fits tells, one line at a time."""
    command = [sys.executable, Path(__file__).with_name("long_fit.py"), folder]
    log = folder / "fits.log"
    with (
        log.open("w") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout
            yield _lines(process.stdout, log)
        finally:
            process.kill()


def _lines(told: IO[str], log: Path) -> Iterator[dict[str, Any]]:
    for line in told:
        yield json.loads(line)
    raise RuntimeError(f"the process that fits is over: {log.read_text()[-1000:]}")


CAMPAIGNS = (
    Campaign(
        *(9, "serve-long", "memory and handles of a server under mixed load stay flat"),
        *(3, 120, serve_trials),
    ),
    Campaign(
        *(9, "fit-long", "memory and handles of a process that fits again and again stay flat"),
        *(3, 120, fit_trials),
    ),
)
