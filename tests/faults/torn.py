"""Promise 1, for files that a disk spoils: none is taken for what it was before.

One file of a finished run, an unfinished one, a study or the store is cut short, has a byte
flipped, is emptied or removed; then commands read it. Each ends as if nothing were wrong, or with
exit code 2 and the name of the file.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from campaign import Campaign, Trial
from helpers_cli import Outcome, convgraft
from kill_work import COMPARE, FITS, Work
from stopped_fit import stopped_after
from whole_files import difference

DAMAGE = ("cut short", "a byte flipped", "emptied", "removed")
# what tells people, and no result depends on
NOTES = (
    *("card.md", "command.json", "summary.md", "table.md", "figure.png", "figure.svg", "used"),
    *("study.yaml", "metrics.csv", "hparams.yaml", ".lock"),
)
TOLD_ABSENT = ("predictions", "baselines", "SHA256SUMS")  # a report leaves out what is not there


@dataclass(frozen=True)
class Ground:
    """What is spoilt, as it was when it was whole.

    Attributes:
        folder: has `run`, `stopped`, `study` and `store`, and `whole` of the stopped one.
        told: what the reading commands say of them, by command.
    """

    folder: Path
    told: dict[str, str]


def trials(seed: int, count: int, folder: Path) -> Iterator[Trial]:
    """Spoil one file in each trial, and have it read."""
    ground = lay(folder / "ground")
    for number in range(count):
        rng = random.Random(f"{seed} torn {number}")
        place = folder / "spoilt"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(ground.folder, place)
        kind = ("run", "stopped", "study", "store")[number % 4]
        spoilt = drawn_file(rng, place / kind)
        damage = rng.choice(DAMAGE)
        said = spoil(spoilt, damage, rng)
        what = f"{spoilt.relative_to(place)} {said}"
        yield Trial(what, READ[kind](ground, place, spoilt, damage))


def lay(folder: Path) -> Ground:
    """A run, an unfinished one, a study, their store, and what commands say of them."""
    folder.mkdir(parents=True)
    fit(FITS[1], folder, "run")
    fit(FITS[0], folder, "whole")
    with stopped_after(2):
        assert fit(FITS[0], folder, "stopped").code == 1
    fit(COMPARE, folder, "study")
    shutil.rmtree(folder / "store")
    fit(FITS[1], folder, "again")
    shutil.rmtree(folder / "again")
    told = {name: say(name, folder) for name in ("evaluate run", "report run", "report study")}
    assert all(one.code == 0 for one in told.values()), told
    again = fit(COMPARE, folder, "study").err.replace(str(folder), "FOLDER")
    return Ground(folder, {name: one.out for name, one in told.items()} | {"compare study": again})


def fit(work: Work, folder: Path, name: str) -> Outcome:
    """Do a work with its results in `folder/name` and its values in `folder/store`."""
    before = os.environ.get("CONVGRAFT_CACHE", "")
    os.environ["CONVGRAFT_CACHE"] = str(folder / "store")
    try:
        return convgraft(*work.arguments(folder)[:-1], folder / name)
    finally:
        os.environ["CONVGRAFT_CACHE"] = before


def say(told: str, folder: Path) -> Outcome:
    """What a reading command says; a report with its text, without what is spoilt for people."""
    command, name = told.split()
    if command == "evaluate":
        outcome = convgraft("evaluate", folder / name, "digits", "--json", "--trust-python")
        return replace(outcome, out=outcome.out.replace(str(folder), "FOLDER"))
    page = folder / "page.csv"
    outcome = convgraft("report", folder / name, "--out", page, "--trust-python")
    text = page.read_text() if page.exists() else ""
    return Outcome(outcome.code, text.replace(str(folder), "FOLDER"), outcome.err)


def drawn_file(rng: random.Random, folder: Path) -> Path:
    """One of the files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return rng.choice(files)


def spoil(path: Path, damage: str, rng: random.Random) -> str:
    """Damage a file; what was done, in words."""
    data = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
        return damage
    if damage == "emptied" or not data:
        path.write_bytes(b"")
        return "emptied"
    where = rng.randrange(len(data))
    if damage == "cut short":
        path.write_bytes(data[:where])
        return f"cut short to {where} of {len(data)} bytes"
    data[where] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"with byte {where} of {len(data)} flipped"


def judged(outcome: Outcome, spoilt: Path, wrong: str) -> str:
    """What is wrong with how a command ended.

    Args:
        wrong: what came out otherwise, where it ended well.
    """
    if "Traceback" in outcome.err + outcome.out:
        return f"a traceback: {outcome.err[-400:]}"
    if outcome.code == 0:
        return wrong
    if outcome.code != 2:
        return f"exit code {outcome.code}: {outcome.err[-300:]}"
    named = spoilt.name in outcome.err or spoilt.parent.name in outcome.err
    return "" if named else f"the message names no {spoilt.name}: {outcome.err[-300:]}"


def _read_run(ground: Ground, place: Path, spoilt: Path, damage: str) -> str:
    return "; ".join(filter(None, (_told(name, ground, place, spoilt, damage)
                                   for name in ("evaluate run", "report run"))))  # fmt: skip


def _told(name: str, ground: Ground, place: Path, spoilt: Path, damage: str) -> str:
    outcome = say(name, place)
    absent = damage == "removed" and any(word in str(spoilt) for word in TOLD_ABSENT)
    # a page has the folder's notes and its files' checksums in it
    noted = name.startswith("report") and (spoilt.name.endswith(NOTES) or absent)
    same = noted or _without_hashes(outcome.out) == _without_hashes(ground.told[name])
    wrong = judged(outcome, spoilt, "" if same else "something else came out, and no word of it")
    return f"{name}: {wrong}" if wrong else ""


def _without_hashes(text: str) -> list[str]:
    return [line for line in text.splitlines() if "page.csv" not in line]


def _read_stopped(ground: Ground, place: Path, spoilt: Path, damage: str) -> str:
    outcome = fit(FITS[0], place, "stopped")
    return judged(outcome, spoilt, _unlike(place / "stopped", ground.folder / "whole", outcome))


def _read_store(ground: Ground, place: Path, spoilt: Path, damage: str) -> str:
    outcome = fit(FITS[1], place, "again")
    return judged(outcome, spoilt, _unlike(place / "again", ground.folder / "run", outcome))


def _read_study(ground: Ground, place: Path, spoilt: Path, damage: str) -> str:
    page = _told("report study", ground, place, spoilt, damage)
    if damage == "removed" or spoilt.name == "results.jsonl":
        page = page if "traceback" in page else ""  # it tells of the lines that are there
    outcome = fit(COMPARE, place, "study")
    if page or spoilt.name in NOTES:
        return page or judged(outcome, spoilt, "")
    if "predictions" in spoilt.parts:  # left out of what is compared, with a word where damaged
        named = f"The predictions of {spoilt.stem}" in outcome.out + outcome.err
        same = outcome.err.replace(str(place), "FOLDER") == ground.told["compare study"]
        told = named or same or damage == "removed"
        return judged(outcome, spoilt, "" if told else "no word on the predictions")
    return judged(outcome, spoilt, _unlike(place / "study", ground.folder / "study", outcome))


def _unlike(one: Path, other: Path, outcome: Outcome) -> str:
    return difference(one, other) if outcome.code == 0 else ""


READ = {
    "run": _read_run,
    "stopped": _read_stopped,
    "study": _read_study,
    "store": _read_store,
}

TORN = (
    Campaign(
        1,
        "torn-files",
        "a file that is cut short, flipped, emptied or gone is told, or makes no difference",
        8,
        240,
        trials,
    ),
)
