"""Disks that are full, and disks that cannot be written.

Both are real where a small disk can be mounted, which takes an administrator; elsewhere a limit on
the length of files stands for the first, and the second is left out.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from campaign import Campaign, Trial
from kill_work import COMPARE, FITS, PREDICT, SEARCH, Ended, Work, run
from left_alone import Ground, Whole, told
from whole_files import torn_files

from helpers_killed import Command

WORKS = (FITS[0], PREDICT[0], COMPARE, SEARCH, FITS[1], PREDICT[3])
ROOMY = 256 * 2**20
FULL = ("full", "No space left", "no room", "File too large")


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[bool]:
    """A disk of so many bytes at `place`; says whether one could be had."""
    place.mkdir(parents=True)
    mounted = _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def _mount(*arguments: str) -> bool:
    if shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0


def full(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """Less room than the work needs; then enough, and the same command again."""
    ground = Ground(folder, seed, "full-disk")
    for number, place in ground.places(count):
        work, share = WORKS[number % len(WORKS)], ground.drawing(number).uniform(0.05, 0.9)
        whole = ground.whole(work)
        size = max(4096, int(share * whole.size))
        what = f"{work.name}, room for {share:.0%} of {whole.size} bytes"
        with small_disk(place, size) as mounted:
            yield _on_full_disk(what, work, whole, place, size, mounted=mounted)


def _on_full_disk(
    what: str, work: Work, whole: Whole, place: Path, size: int, *, mounted: bool
) -> Trial:
    command = replace(work.command(place), log=place.with_suffix(".txt"))
    ended = run(command if mounted else replace(command, prepare="machine_disk:limit_files"))
    if ended.code != 0:
        trial = told(what, ended, (1, 2), *FULL)
        if trial.wrong:
            return trial
        if torn := torn_files(place):
            return Trial(what, f"half a file lies there as a whole one: {torn}")
        if mounted:
            assert _mount("-o", f"remount,size={ROOMY}", str(place))
        ended = run(command)
        if ended.code != 0:
            return Trial(what, f"with room it does not go on: {ended.said[-600:]}")
    return Trial(what, work.differs(place, whole.place))


def limit_files(command: Command) -> None:
    """In the other process, where no disk can be mounted: no file grows beyond this."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def read_only(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """A results folder, a store and a run to read from, each on a disk that cannot be written."""
    ground = Ground(folder, seed, "read-only")
    for number, place in ground.places(count):
        work, kind = WORKS[number % len(WORKS)], ("results", "store", "run")[number % 3]
        with small_disk(place / "disk", 2**20) as mounted:
            if not mounted:
                yield Trial("left out: no disk can be mounted here")
                continue
            yield _on_read_only(work, kind, ground, place)


def _on_read_only(work: Work, kind: str, ground: Ground, place: Path) -> Trial:
    disk, what = place / "disk", f"{work.name}, the {kind} cannot be written"
    if kind == "run":
        return _from_read_only(ground, place, disk)
    there = work.command(place)
    if kind == "store":
        command = replace(there, store=disk / "store")
    else:
        inside = work.command(disk)
        command = replace(inside, log=there.log, store=there.store)
    shutil.rmtree(disk / "out", ignore_errors=True)
    for path in disk.iterdir():
        path.unlink()
    assert _mount("-o", "remount,ro", str(disk))
    ended = run(command)
    if kind == "store" and ended.code == 0:
        return Trial(what, work.differs(place, ground.whole(work).place))
    return told(what, ended, (1, 2), str(disk), "cannot be written", "Read-only")


def _from_read_only(ground: Ground, place: Path, disk: Path) -> Trial:
    """A run is only read by who predicts."""
    work = PREDICT[0]
    shutil.copytree(ground.folder / "pictures" / "run", disk / "run")
    assert _mount("-o", "remount,ro", str(disk))
    command = work.command(place)
    arguments = ("predict", str(disk / "run"), *command.arguments[2:])
    ended: Ended = run(replace(command, arguments=arguments))
    trial = told("predict from a run that cannot be written", ended, (0,))
    return (
        trial if trial.wrong else Trial(trial.what, work.differs(place, ground.whole(work).place))
    )


DISK = (
    Campaign(2, "full-disk", "a full disk is told, and with room the same command goes on",
             2, 20, full),
    Campaign(2, "read-only", "what cannot be written is told, or not written to", 3, 12, read_only),
)  # fmt: skip
