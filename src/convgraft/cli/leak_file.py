"""Pictures in several parts of a study's splits, as they lie in its folder: `leaks.json`.

By cell, a list of `digest` (SHA-256 of the picture's bytes) and `places` (part and image id).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convgraft.data import Leak
from convgraft.errors import ArtifactError

if TYPE_CHECKING:
    from convgraft.cli.leak_check import Leaks

FILE = "leaks.json"


def write_leaks(folder: Path, leaks: Leaks) -> None:
    """Note leaks, beside those of other cells that lie there; without any, no file is made."""
    from convgraft.export.files import write_json

    told = {cell: [asdict(leak) for leak in found] for cell, found in leaks.items()}
    if told:
        write_json(folder / FILE, {**read_leaks(folder), **told})


def read_leaks(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The leaks that were noted, by cell; empty for none. Raises ArtifactError."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error


def known_leaks(folder: Path) -> Leaks:
    """The same as they were found. Raises ArtifactError."""
    return {
        cell: [
            Leak(one["digest"], tuple((part, image) for part, image in one["places"]))
            for one in found
        ]
        for cell, found in read_leaks(folder).items()
    }
