"""With which command a folder was made: `command.json` in it, a list with an item for every call.

An item says the command as it was typed, quoted for a shell, when it began, and what ran it. The
working directory is left out: it tells of one machine, and nothing of the work.
"""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from convgraft import __version__
from convgraft.errors import ArtifactError

FILE = "command.json"
_TYPED: ContextVar[tuple[str, ...]] = ContextVar("typed", default=())


@contextmanager
def typed(arguments: Sequence[str]) -> Iterator[None]:
    """Remember what was typed after `convgraft`, while it is being done."""
    before = _TYPED.set(tuple(arguments))
    try:
        yield
    finally:
        _TYPED.reset(before)


def record_command(folder: Path) -> None:
    """Add this call to the folder's `command.json`; nothing where no command line made it.

    Raises ArtifactError where the file cannot be read.
    """
    from convgraft.export.files import write_json

    if _TYPED.get():
        call = {
            "command": shlex.join(("convgraft", *_TYPED.get())),
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": software(),
        }
        write_json(folder / FILE, [*recorded_calls(folder), call])


def recorded_calls(folder: Path) -> list[dict[str, Any]]:
    """The calls that made a folder, the first one first; none where it has recorded none.

    Raises ArtifactError where the file cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        calls = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error
    if not isinstance(calls, list) or not all(_is_call(call) for call in calls):
        raise ArtifactError(f'"{path}" cannot be read', expected="a list of recorded commands")
    return calls


def _is_call(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("command"), str)


def software() -> dict[str, str]:
    """The versions on which results depend."""
    import lightning
    import torch

    return {
        "convgraft": __version__,
        "torch": str(torch.__version__),
        "lightning": str(lightning.__version__),
        "Python": platform.python_version(),
    }
