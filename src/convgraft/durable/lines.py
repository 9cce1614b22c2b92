"""Append-only JSON lines and configurations, of folders in which work goes on.

Each object that is written says last what its CRC-32 is; one that was damaged since is refused.
What an earlier version wrote has none, and is taken as it is.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from convgraft.durable.on_disk import put_in_place, sync_folder
from convgraft.errors import ArtifactError

Line = dict[str, Any]
OPTIONS = "options"  # of training, in a configuration
CHECKSUM = "crc32"


def append_line(path: Path, line: Line) -> None:
    """Write a line; it is on the disk when this returns. Where it fails, nothing of it stays."""
    data = (json.dumps(_sealed(line), ensure_ascii=False) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
            if not before:
                sync_folder(path.parent)
        except OSError:
            with suppress(OSError):
                file.truncate(before)
            raise


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write what makes a folder's work this work, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    text = json.dumps(_sealed(config), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    part.write_text(text, encoding="utf-8")
    put_in_place(part, path)


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as JSON has it, to be compared with another one.

    An option that is None was not said; where it was not known yet it was not said either.
    """
    plain = json.loads(json.dumps(config))
    options = plain.get(OPTIONS)
    if isinstance(options, dict):
        plain[OPTIONS] = {key: value for key, value in options.items() if value is not None}
    return plain


def read_config(path: Path) -> dict[str, Any]:
    """A configuration that lies in a folder; raises ArtifactError where it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f'"{path}" cannot be read', found=str(error)) from error
    return _unsealed(found, path)


def differing(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ between two configurations; none where they are the same."""
    then, new = plain_config(there), plain_config(now)
    return sorted(key for key in {*then, *new} if then.get(key) != new.get(key))


def read_lines(path: Path, *, mend: bool = False) -> list[Line]:
    """The whole lines of a file, without a last one that is not finished.

    Args:
        mend: cut that one off; for who holds the folder, as another process may be writing it.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if mend and whole != data:
        os.truncate(path, len(whole))
    try:
        found = [json.loads(line) for line in whole.decode("utf-8").split("\n")[:-1]]
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f'"{path}" cannot be read', expected="a JSON object a line", found=str(error)
        ) from error
    return [_unsealed(line, path) for line in found]


def _sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same with its checksum, which is over what JSON makes of it."""
    plain = json.loads(json.dumps(data))
    return {**plain, CHECKSUM: _checksum(plain)}


def _unsealed(data: Any, path: Path) -> dict[str, Any]:
    """What was sealed; raises ArtifactError where that is not what lies there."""
    if not isinstance(data, dict):
        raise ArtifactError(f'"{path}" cannot be read', expected="a JSON object")
    plain = {key: value for key, value in data.items() if key != CHECKSUM}
    if data.get(CHECKSUM, _checksum(plain)) != _checksum(plain):
        raise ArtifactError(
            f'"{path}" is damaged',
            expected=f"a checksum of {data[CHECKSUM]}, as it was written with",
            found=_checksum(plain),
            hint=f'"{CHECKSUM}" may be removed where you changed it yourself',
        )
    return plain


def _checksum(plain: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(plain, sort_keys=True).encode()):08x}"
