"""Taking a folder for work that is told by one configuration: a study, a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convgraft.durable.holding import LOCK, Holding, hold
from convgraft.durable.lines import differing, read_config, write_config
from convgraft.errors import ArtifactError


def claim_folder(
    folder: Path, config: Mapping[str, Any], file: str, *, kind: str, free: str
) -> Holding:
    """Hold a new folder, in which `file` then has the configuration, or one that has the same.

    Args:
        kind: what it is for, e.g. `study`.
        free: what a later command may choose anew, for people.

    Raises ArtifactError where another configuration made the folder, where it holds files of
    something else, or where another process works in it.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f'"{folder}" is a file', expected=f"a folder for the {kind}")
    if not _is_new(folder, file):
        _check(folder, config, file, kind, free)  # before anything is written there
    folder.mkdir(parents=True, exist_ok=True)
    holding = hold(folder)
    if _is_new(folder, file):
        write_config(folder / file, config)
    _check(folder, config, file, kind, free)
    return holding


def _is_new(folder: Path, file: str) -> bool:
    """Whether nothing lies there but what a process leaves that was killed before it began."""
    nothing = (LOCK, f".{file}.part")
    return not folder.is_dir() or all(path.name in nothing for path in folder.iterdir())


def _check(folder: Path, config: Mapping[str, Any], file: str, kind: str, free: str) -> None:
    path = folder / file
    if not path.is_file():
        raise ArtifactError(
            f'the folder "{folder}" is in use',
            expected=f"a new folder, or one with a {kind}",
            found=f"files, and no {file}",
            hint="another --out",
        )
    if others := differing(read_config(path), config):
        raise ArtifactError(
            f'the folder "{folder}" holds another {kind}',
            expected=f"the configuration in {path}",
            found=f"other values of {', '.join(others)}",
            hint=f"the command that made it ({free}), or another --out",
        )
