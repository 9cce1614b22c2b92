"""Promise 1, when the power goes: what has its name is on the disk, and so is the name.

A kill leaves what was written with the operating system, which writes it down in the end; a loss of
power does not. So here the calls are looked at by which a file gets to the disk.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from campaign import Campaign, Trial
from kill_work import COMPARE, FITS, PREDICT, SEARCH, prepare_pictures, run

from helpers_killed import Command

WORKS = (FITS[0], PREDICT[0], COMPARE, SEARCH, FITS[1], PREDICT[3])
# for people and made anew by the same command, or without contents
FREE = (
    *(".png", ".svg", ".lock", ".rename", "/used", "log.txt", "log.json"),
    *("/metrics.csv", "/hparams.yaml"),
)
NOTES = "disk.jsonl"


def trials(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """Each work once, whatever the seed."""
    prepare_pictures(folder / "pictures")
    for number in range(count):
        work = WORKS[number % len(WORKS)]
        place = folder / f"{number}"
        told = work.command(place)
        command = Command(
            told.arguments, told.folder, told.store, told.log, prepare="power:watch_disk"
        )
        ended = run(command)
        if ended.code != 0:
            yield Trial(work.name, f"exit code {ended.code}: {ended.said[-600:]}")
            continue
        events = [json.loads(line) for line in (place / NOTES).read_text().splitlines()]
        yield Trial(work.name, "; ".join(lost_in(events, place)[:4]))


def lost_in(events: list[list[str]], place: Path) -> list[str]:
    """What a loss of power could take away, or leave torn, of files that have their names."""
    unsynced: set[str] = set()  # opened to be written, and not brought to the disk since
    synced: set[str] = set()
    names: dict[str, str] = {}  # files that got a name, by the folder that has to be synced
    lost: list[str] = []
    for kind, path, *other in events:
        if kind == "write":
            unsynced.add(path)
        elif kind == "sync":
            unsynced.discard(path)
            synced.add(path)
            names = {file: above for file, above in names.items() if above != path}
        elif kind == "move":  # a folder: all that is in it
            if any(one.startswith(f"{path}/") for one in unsynced):
                lost.append(f"{_short(other[0], place)} got its name before its contents")
        elif kind == "rename":
            if path not in synced or path in unsynced:
                lost.append(f"{_short(other[0], place)} got its name before its contents")
            unsynced.discard(path)
            names[other[0]] = str(Path(other[0]).parent)
    lost += [f"the name of {_short(path, place)} may be lost" for path in names]
    lost += [f"{_short(path, place)} may be torn" for path in unsynced if Path(path).is_file()]
    return [one for one in lost if not any(word in f"{one.split()[0]} {one}" for word in FREE)]


def _short(path: str, place: Path) -> str:
    return os.path.relpath(path, place)


def watch_disk(command: Command) -> None:
    """In the other process: note what is written, synced and renamed in the work's place."""
    place = str(command.log.parent)
    notes = os.open(command.log.with_name(NOTES), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sync = os.fsync

    def note(*told: str) -> None:
        if told[1].startswith(place) and not told[1].endswith(NOTES):
            os.write(notes, (json.dumps(told) + "\n").encode())

    def noted_sync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        sync(number)
        note("sync", str(Path(f"/proc/self/fd/{number}").readlink()))

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and _writes(*arguments[1:]):
            note("write", str(arguments[0]))
        elif event == "os.rename":
            kind = "move" if Path(arguments[0]).is_dir() else "rename"
            note(kind, str(arguments[0]), str(arguments[1]))

    os.fsync = noted_sync
    sys.addaudithook(hear)


def _writes(mode: str | None, flags: int | None) -> bool:
    if mode:  # a text file's mode; one that is opened by number was told of already
        return bool(set(mode) & set("wax+"))
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))


POWER = (
    Campaign(
        1,
        "power-loss",
        "every promised file is written under another name, synced, renamed, and its folder synced",
        2,
        len(WORKS),
        trials,
    ),
)
