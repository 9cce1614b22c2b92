"""A hostile file and what convgraft makes of it: an error in words, and nothing run or reached."""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign import Trial

from convgraft.errors import ConvgraftError, PlanError

SECRET = "secret"  # in the name of every file that nobody may open
_opened: list[str] | None = None


@dataclass(frozen=True)
class Place:
    """Where an attack is made.

    Attributes:
        inside: an empty folder, which is worked in.
        outside: a folder beside it that nothing in `inside` may reach.
    """

    inside: Path
    outside: Path

    @property
    def marker(self) -> Path:
        """What a payload makes when it is run."""
        return self.outside.parent / "ran"


@dataclass(frozen=True)
class Case:
    """One attack.

    Attributes:
        what: in a few words.
        attack: makes hostile files and has convgraft read them.
        names: what the error has to name.
        may_pass: whether it may also end well, being harmless.
    """

    what: str
    attack: Callable[[Place], object]
    names: str = ""
    may_pass: bool = False


def judged(case: Case, folder: Path) -> Trial:
    """The case, tried in a folder of its own."""
    place = Place(folder / "inside", folder / "outside")
    for made in (place.inside, place.outside):
        made.mkdir(parents=True)
    (place.outside / f"{SECRET}.txt").write_text("nobody reads this")
    os.chdir(place.inside)
    before = _content(place.outside)
    wrong, opened = _tried(case, place)
    if place.marker.exists():
        wrong += "; its code was run"
    if _content(place.outside) != before:
        wrong += "; it wrote outside"
    if opened:
        wrong += f"; it opened {opened[0]}"
    return Trial(case.what, wrong.removeprefix("; "))


def _tried(case: Case, place: Place) -> tuple[str, list[str]]:
    """What is wrong with how it ended, and the files of others that were opened."""
    global _opened
    _listen()
    _opened = []
    try:
        case.attack(place)
    except ConvgraftError as error:
        return _told(error, case), _opened
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(last.filename).name}:{last.lineno}"
        return f"{type(error).__name__} at {at}: {str(error)[:300]}", _opened
    finally:
        found, _opened = _opened, None
    return "" if case.may_pass else "it was taken", found


def _told(error: ConvgraftError, case: Case) -> str:
    text = str(error)
    faults = []
    if error.exit_code != 2:
        faults.append(f"exit code {error.exit_code}")
    if case.names not in text:
        faults.append(f"{case.names} is not named")
    told = "try:" in text or "expected:" in text
    if not told and not isinstance(error, PlanError):  # those say what is expected where it is not
        faults.append("it says not what to try")
    return f"{'; '.join(faults)}: {text[:300]}" if faults else ""


def _listen() -> None:
    if not getattr(sys, "_hostile_case_listens", False):
        sys._hostile_case_listens = True  # type: ignore[attr-defined]
        sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and SECRET in str(arguments[0]):
        _opened.append(str(arguments[0]))


def _content(folder: Path) -> dict[str, str]:
    """Names and digests of what lies above, beside and in the folder, what the case made left out.

    Links are not followed.
    """
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    found = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    beside = {str(one): "" for one in folder.parent.iterdir() if one.name != "ran"}
    return found | beside


class Payload:
    """Pickled, it makes a folder where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)
