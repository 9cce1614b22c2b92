"""SIGTERM and Ctrl-C: a clear sentence, an exit code, and nothing lost that was promised."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from campaign import Campaign, Trial
from kill_work import COMPARE, FITS, LIMIT, PREDICT, SEARCH, Ended, Work, run
from left_alone import Ground, told
from whole_files import torn_files

from helpers import head
from helpers_killed import Command, Moment

WORKS = (FITS[0], COMPARE, SEARCH, PREDICT[0])
OTHERS = ("serve", "export", "push")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST = 3.0  # seconds until the signal comes to what tells of no changes, once it is at work


def trials(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """Each command in turn, with both signals."""
    ground = Ground(folder, seed, "stops")
    kinds = len(WORKS) + len(OTHERS)
    for number, place in ground.places(count):
        sent, kind = SIGNALS[number % 2], number % kinds
        if kind < len(WORKS):
            yield _stopped(WORKS[kind], sent, ground, place, number)
        else:
            yield _ended(OTHERS[kind - len(WORKS)], sent, ground, place, number)


def _stopped(work: Work, sent: signal.Signals, ground: Ground, place: Path, number: int) -> Trial:
    """It stops at any moment with a word, and the same command goes on."""
    whole, share = ground.whole(work), ground.drawing(number).uniform(0, 0.95)
    moment = Moment(share * whole.seconds, signal=sent)
    if number % 3 == 0:
        moment = Moment(change=1 + int(share * whole.changes), signal=sent)
    what, command = f"{work.name}, {sent.name} at {share:.0%}", work.command(place)
    ended = run(command, moment)
    trial = told(what, ended, (0, 1), "stopped", "saved in", "images/s")
    if trial.wrong:
        return trial
    if torn := torn_files(place):
        return Trial(what, f"half a file lies there as a whole one: {torn}")
    if ended.code == 1 and not work.is_done(place) and (ended := run(command)).code != 0:
        return Trial(what, f"it does not go on: {ended.said[-400:]}")
    return Trial(what, work.differs(place, whole.place))


def _ended(name: str, sent: signal.Signals, ground: Ground, place: Path, number: int) -> Trial:
    """What goes on with nothing ends, and leaves no half of a file."""
    seconds = ground.drawing(number).uniform(0.1, LONGEST)
    what = f"{name}, {sent.name} after {seconds:.1f} s"
    place.mkdir(parents=True)
    command = _other(name, _plain_run(ground.folder), place)
    process = command.start(Moment())
    while process.is_alive() and not command.log.exists():  # then it hears of signals
        time.sleep(0.01)
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.is_alive():
        time.sleep(0.01)
    if process.is_alive() and process.pid:
        os.kill(process.pid, sent)
    process.join(LIMIT)
    if process.is_alive():
        process.kill()
        return Trial(what, f"it does not end: {command.log.read_text()[-400:]}")
    trial = told(what, Ended(process.exitcode, command.log.read_text()), (0, 1))
    torn = torn_files(place)
    return trial if trial.wrong or not torn else Trial(what, f"half a file: {torn}")


def _plain_run(folder: Path) -> Path:
    """A run that anybody can load."""
    import convgraft as cg

    if not (folder / "run").is_dir():
        heads = (head("label", "linear", "a:features", classes=3),)
        plan = cg.Plan(32, (cg.SourceRef("a", "cifar_resnet20"),), heads=heads)
        network = cg.compile(plan, {"a": cg.source("cifar_resnet20")})
        cg.save(folder / "run", network, labels=("blue", "green", "red"), metrics={})
    return folder / "run"


def _other(name: str, run: Path, place: Path) -> Command:
    told = {
        "serve": ("serve", run, "--port", 0, "--engine", "torch"),
        "export": ("export", run, "--out", place / "model.onnx"),
        "push": ("push", run, "me/it", "--dry-run", "--license", "mit", "--out", place / "hub"),
    }[name]
    return Command(tuple(map(str, told)), place, place / "store", place / "log.txt")


STOPS = (
    Campaign(2, "stops", "SIGTERM and Ctrl-C end every command with a word, and nothing is lost",
             3, 42, trials),
)  # fmt: skip
