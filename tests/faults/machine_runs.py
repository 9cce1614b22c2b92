"""Two runs on one folder or one store, clocks that jump, and files that vanish."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from campaign import Campaign, Trial
from helpers_cli import write_pictures
from kill_work import COMPARE, FITS, LIMIT, NETWORK, PREDICT, SEARCH, Ended, Work, run
from left_alone import Ground, told

from helpers_killed import Command, Moment

WORKS = (FITS[0], PREDICT[0], COMPARE, SEARCH)
JUMPS = (-3600.0, 10 * 365 * 86400.0)
PER_CLASS = 10


def two_at_once(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """One is stopped in its work, another one comes into its folder, and the first goes on."""
    ground = Ground(folder, seed, "two-runs")
    for number, place in ground.places(count):
        work = WORKS[number % len(WORKS)]
        if number % 5 == 4:
            yield _one_store(FITS[0], ground, place)
            continue
        whole = ground.whole(work)
        share = ground.drawing(number).uniform(0, 0.95)
        moment = Moment(share * whole.seconds, signal=signal.SIGSTOP)
        if number % 2:
            moment = Moment(change=1 + int(share * whole.changes), signal=signal.SIGSTOP)
        what = (
            f"{work.name}, another one at {share:.0%} of its {'changes' if number % 2 else 'time'}"
        )
        yield _second_comes(what, work, ground, place, moment)


def _second_comes(what: str, work: Work, ground: Ground, place: Path, moment: Moment) -> Trial:
    command = work.command(place)
    first = command.start(moment)
    if not _is_stopped(first):
        first.join(LIMIT)
        return Trial(
            f"{what}: it had ended", "" if first.exitcode == 0 else command.log.read_text()
        )
    second = run(replace(command, log=place / "second.txt", prepare=_also(work)))
    os.kill(first.pid or 0, signal.SIGCONT)
    first.join(LIMIT)
    ended = Ended(first.exitcode, command.log.read_text())
    refused, done = (second, ended) if ended.code == 0 else (ended, second)
    trial = told(what, refused, (2,), "at work", "in use", "is there already")
    if trial.wrong:
        return Trial(what, f"the one that came second: {trial.wrong}")
    if done.code != 0:
        return Trial(what, f"neither was done: {ended.said[-300:]} {second.said[-300:]}")
    return Trial(what, work.differs(place, ground.whole(work).place))


def _also(work: Work) -> str:
    return "machine_runs:impatient_and_often" if work in PREDICT else "machine_runs:impatient"


def _is_stopped(process: BaseProcess) -> bool:
    """Wait until a process is stopped, or ends, which gives False."""
    while process.is_alive():
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "T":
            return True
        time.sleep(0.01)
    return False


def _one_store(work: Work, ground: Ground, place: Path) -> Trial:
    """Two fits side by side that need the same values."""
    commands = [replace(work.command(place / name), store=place / "store") for name in "ab"]
    processes = [command.start(Moment()) for command in commands]
    for process in processes:
        process.join(LIMIT)
    what = f"{work.name}, two at once on one store"
    if any(process.exitcode for process in processes):
        return Trial(what, " ".join(command.log.read_text()[-300:] for command in commands))
    whole = ground.whole(work).place
    return Trial(what, work.differs(place / "a", whole) or work.differs(place / "b", whole))


def impatient(command: Command) -> None:
    """In the second process: it does not wait long for a folder."""
    from convgraft.durable import holding

    holding.PATIENCE = 0.3


def impatient_and_often(command: Command) -> None:
    """The same for a prediction, which puts rows on the disk often."""
    from kill_work import commit_often

    impatient(command)
    commit_often(command)


def jumping(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """The clock goes back an hour, or ahead ten years, somewhere in the work."""
    ground = Ground(folder, seed, "clock-jumps")
    for number, place in ground.places(count):
        work, jump = (FITS[0], COMPARE, SEARCH)[number % 3], JUMPS[number % 2]
        rng = ground.drawing(number)
        place.mkdir(parents=True)
        (place / "jump.json").write_text(json.dumps([rng.randint(0, 60), jump]))
        command = replace(work.command(place), prepare="machine_runs:jump")
        ended = run(command)
        what = f"{work.name}, the clock jumps by {jump:.0f} s"
        trial = told(what, ended, (0,))
        wrong = trial.wrong or work.differs(place, ground.whole(work).place) or _odd_times(place)
        if not wrong and work is FITS[0]:
            wrong = _stale(work, command, place)
        yield Trial(what, wrong)


def jump(command: Command) -> None:
    """In the other process: after some looks at the clock it tells another time."""
    after, by = json.loads((command.log.parent / "jump.json").read_text())
    clock, looks = time.time, 0

    def told_time() -> float:
        nonlocal looks
        looks += 1
        return clock() + (by if looks > after else 0.0)

    time.time = told_time


def _odd_times(place: Path) -> str:
    """Durations in what was written that cannot be."""
    for path in (*place.rglob("metrics.json"), *place.rglob("*.jsonl")):
        text = path.read_text()
        for line in text.splitlines() if path.suffix == ".jsonl" else [text]:
            if odd := list(_seconds(json.loads(line))):
                return f"{path.name} tells {odd[0]} seconds"
    return ""


def _seconds(data: Any) -> Iterator[float]:
    if isinstance(data, list):
        for one in data:
            yield from _seconds(one)
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "seconds" and not 0 <= value < 600:
                yield value
            yield from _seconds(value)


def _stale(work: Work, command: Command, place: Path) -> str:
    """Whether the same values are computed again from a store of another time."""
    second = work.command(place / "second")
    ended = run(replace(second, store=command.store))
    return "its store was taken for stale" if "computed once" in ended.said else ""


def vanishing(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """A picture goes away after it was listed and before it is read, or its whole folder."""
    ground = Ground(folder, seed, "vanished-files")
    for number, place in ground.places(count):
        place.mkdir(parents=True)
        rng, whole_folder = ground.drawing(number), number % 4 == 3
        data = write_pictures(place / "data", PER_CLASS)
        victim = rng.choice(sorted(data.rglob("*.png")))
        gone = victim.parent if whole_folder else victim
        after = rng.randint(1, 8)
        (place / "vanish.json").write_text(json.dumps([after, str(gone)]))
        makes = _fit if number % 2 == 0 else _predict
        command = replace(makes(ground, place), prepare="machine_runs:vanish")
        ended = run(command)
        name = gone.relative_to(data)
        what = f"{command.arguments[0]}, {name} is gone at the read of picture {after}"
        yield _after_vanishing(what, command, ended, str(name))


def _fit(ground: Ground, place: Path) -> Command:
    arguments = ("fit", place / "data", "--models", NETWORK, "--strategy", "probe", "--epochs", 1,
                 "--image-size", 8, "--batch-size", 4, "--out", place / "out")  # fmt: skip
    return Command(tuple(map(str, arguments)), place / "out", place / "store", place / "log.txt")


def _predict(ground: Ground, place: Path) -> Command:
    arguments = ("predict", ground.folder / "pictures" / "run", place / "data", "--trust-python",
                 "--engine", "torch", "--batch-size", 4, "--workers", 1,
                 "--out", place / "out.jsonl")  # fmt: skip
    return Command(tuple(map(str, arguments)), place / "out", place / "store", place / "log.txt")


def _after_vanishing(what: str, command: Command, ended: Ended, name: str) -> Trial:
    """It ends well, and names what it lost unless it had been read, or with a word on it."""
    trial = told(what, ended, (0, 1, 2))
    if trial.wrong:
        return trial
    if ended.code:
        return Trial(what, "" if name in ended.said else f"it names no {name}: {ended.said[-400:]}")
    if command.arguments[0] == "fit":
        return trial
    rows = map(json.loads, Path(command.arguments[-1]).read_text().splitlines())
    broken = [row["file"] for row in rows if "error" in row]
    return Trial(what, "" if all(name in file for file in broken) else f"broken: {broken}")


def vanish(command: Command) -> None:
    """In the other process: right before a read of a picture, one goes away."""
    after, gone = json.loads((command.log.parent / "vanish.json").read_text())
    data, reads = str(command.log.parent / "data"), 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal reads
        if event != "open" or not str(arguments[0]).startswith(data):
            return
        reads += 1
        if reads == after:
            shutil.rmtree(gone) if Path(gone).is_dir() else Path(gone).unlink()

    sys.addaudithook(hear)


RUNS = (
    Campaign(2, "two-runs", "of two runs on one folder one is refused, and the other is as alone",
             2, 20, two_at_once),
    Campaign(2, "clock-jumps", "a clock that jumps changes no result, and makes no odd duration",
             2, 12, jumping),
    Campaign(2, "vanished-files", "a picture that vanishes before it is read is named",
             4, 24, vanishing),
)  # fmt: skip
