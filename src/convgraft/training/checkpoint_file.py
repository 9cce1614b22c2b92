"""Checkpoints as files: a damaged one is refused before anything is read from it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from convgraft.errors import ArtifactError


def check_checkpoint(path: Path) -> None:
    """Raise ArtifactError where a checkpoint is not what was written.

    It is a ZIP file, whose members have checksums; PyTorch reads it without a look at them.
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    # zipfile has an error of its own for every field that makes no sense
    except Exception as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    if damaged is not None:
        raise _damaged(path, f"another checksum of {damaged}")


def _damaged(path: Path, found: str) -> ArtifactError:
    return ArtifactError(
        f'the checkpoint "{path}" is damaged',
        found=found,
        hint="remove it: the same command then begins this training anew",
    )
