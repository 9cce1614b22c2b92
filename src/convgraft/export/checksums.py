"""`SHA256SUMS` of a run folder: what its files were when they were written.

The format is that of `sha256sum`, which checks it as well: `sha256sum -c SHA256SUMS`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from convgraft.errors import ArtifactError
from convgraft.export.files import write_text

CHECKSUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the checksums of those of the files that are there."""
    there = [name for name in names if (folder / name).is_file()]
    lines = (f"{_digest(folder / name)}  {name}\n" for name in there)
    write_text(folder / CHECKSUMS, "".join(lines))


def check_files(folder: Path) -> None:
    """Raise ArtifactError where a file is another one than it was, or the list cannot be read.

    A folder without a list is taken as it is, and so is a file that is not there: whoever needs it
    says so.
    """
    for name, digest in _listed(folder / CHECKSUMS).items():
        path = folder / name
        if path.is_file() and (found := _digest(path)) != digest:
            raise ArtifactError(
                f'"{path}" is not what was written there',
                expected=f"SHA-256 {digest}, as {CHECKSUMS} has it",
                found=found,
                hint=f"another copy of it; or, where you changed it yourself, without {CHECKSUMS}",
            )


def _listed(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error
    found = [_LINE.fullmatch(line) for line in lines]
    if None in found:
        raise ArtifactError(
            f'"{path}" cannot be read', expected="a SHA-256 and the name of a file in each line"
        )
    return {match[2]: match[1] for match in found if match}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
