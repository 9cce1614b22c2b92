"""Append-only JSON lines, and configurations, of folders in which work goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from convgraft.errors import ArtifactError

Line = dict[str, Any]


def append_line(path: Path, line: Line) -> None:
    """Write a line; it is on the disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def differing(there: str, now: str) -> list[str]:
    """The keys whose values differ between two JSON objects; none where one cannot be read."""
    try:
        then, new = json.loads(there), json.loads(now)
    except ValueError:
        return []
    return sorted(key for key in {*then, *new} if then.get(key) != new.get(key))


def read_lines(path: Path) -> list[Line]:
    """The whole lines of a file; a last line that was never finished is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        os.truncate(path, len(whole))
    try:
        return [json.loads(line) for line in whole.decode("utf-8").splitlines()]
    except ValueError as error:
        raise ArtifactError(
            f'"{path}" cannot be read', expected="a JSON object a line", found=str(error)
        ) from error
