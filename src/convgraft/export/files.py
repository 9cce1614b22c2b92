"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convgraft.durable.on_disk import put_in_place


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place."""
    part = path.with_name(f".{path.name}.part")
    part.touch()
    mode = part.stat().st_mode  # as the user's mask has it; some libraries keep files to one user
    write(part)
    part.chmod(stat.S_IMODE(mode))
    put_in_place(part, path)


def write_text(path: Path, text: str) -> None:
    """Text, UTF-8, whole or not at all."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, data: Any) -> None:
    """JSON with indentation, whole or not at all."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
