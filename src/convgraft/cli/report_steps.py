"""Of `convgraft report`: the file to write, and what is read of a folder's files."""

from __future__ import annotations

import hashlib
import platform
import shlex
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import convgraft
from convgraft.cli.console import say
from convgraft.errors import UsageError, near_miss
from convgraft.export import METRICS
from convgraft.report.page_data import Pairs


def choose_form(form: str | None, out: Path | None, known: Sequence[str]) -> str:
    """The form asked for, else that of the file's suffix, else HTML; raises UsageError."""
    chosen = form or (out.suffix.removeprefix(".").lower() if out and out.suffix else "html")
    if chosen not in known:
        raise UsageError(
            f'there is no report as "{chosen}"',
            expected=", ".join(known),
            hint=near_miss(chosen, known) or "--format html",
        )
    return chosen


def check_out(path: Path) -> Path:
    """The file to write; raises UsageError where it cannot be one."""
    if path.is_dir():
        raise UsageError(f'"{path}" is a folder', expected="a file for --out")
    if not path.parent.is_dir():
        raise UsageError(
            f'there is no folder "{path.parent}"', expected="--out in a folder that is there"
        )
    return path


def show(path: Path) -> bool:
    """Open a file in the browser; say so, and give False, where there is none."""
    found = webbrowser.open(path.resolve().as_uri())
    if not found:
        say("there is no browser to open it in")
    return found


def next_words(folder: Path, form: str, shown: bool) -> str:
    """What to do after the page is written, as the end of a line; may be empty.

    Args:
        form: of the page: html, md or csv.
        shown: whether a browser has it already.
    """
    steps = ["open it in a browser"] if form == "html" and not shown else []
    if (folder / METRICS).is_file():
        steps.append(f"convgraft export {shlex.quote(str(folder))}")
    return f"; next: {', or '.join(steps)}" if steps else ""


def hashes(folder: Path, names: Sequence[str]) -> Pairs:
    """SHA-256 of those of the files that are there."""
    found = []
    for name in names:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                found.append((name, hashlib.file_digest(file, "sha256").hexdigest()))
    return tuple(found)


def versions() -> Pairs:
    """What a page is written with; a run's own version stands in its notes."""
    import torch

    told = {
        "convgraft": convgraft.__version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
    }
    return tuple((f"{name} that wrote this page", str(value)) for name, value in told.items())
