"""What lies in a folder of convgraft's: is each file whole, and is its content that of another?"""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import safe_open

MEASURED = ("seconds", "frozen_images", "latency", "estimated")  # by a clock, or by what lay there


def torn_files(place: Path) -> list[str]:
    """Names of files that cannot be read to their end; drafts, which nobody reads, are no such."""
    found = [path for path in place.rglob("*") if path.is_file() and not is_draft(path)]
    return [str(path.relative_to(place)) for path in sorted(found) if not _is_whole(path)]


def is_draft(path: Path) -> bool:
    """Whether a file has no name yet that anybody looks for."""
    hidden = any(part.startswith(".") for part in path.parts[-2:])
    return hidden or path.name.endswith(".part") or ".csv.part" in str(path)


def _is_whole(path: Path) -> bool:
    try:
        _READ.get(path.suffix, Path.read_bytes)(path)
    # whatever a reader says of a damaged file
    except Exception:
        return False
    return True


def _read_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None


def _read_lines(path: Path) -> None:
    data = path.read_bytes()
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        json.loads(line)


def _read_table(path: Path) -> None:
    from pyarrow import parquet

    parquet.read_table(path)


def tensors_in(path: Path) -> dict[str, str]:
    """By name, the SHA-256 of a tensor with its shape and type."""
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {
        name: hashlib.sha256(f"{t.dtype} {t.shape}".encode() + t.numpy().tobytes()).hexdigest()
        for name, t in found.items()
    }


_READ: Mapping[str, Callable[[Path], Any]] = MappingProxyType(
    {
        ".json": lambda path: json.loads(path.read_text()),
        ".jsonl": _read_lines,
        ".safetensors": tensors_in,
        ".ckpt": _read_zip,
        ".parquet": _read_table,
        ".csv": lambda path: list(csv.reader(path.open(newline=""))),
    }
)


def without_clock(data: Any) -> Any:
    """Plain data without what a clock measured, checksums over it, and what nobody said."""
    if isinstance(data, list):
        return [without_clock(one) for one in data]
    if not isinstance(data, dict):
        return data
    left_out = (*MEASURED, "crc32")
    kept = {key: one for key, one in data.items() if not key.startswith(left_out)}
    return {key: without_clock(one) for key, one in kept.items() if one is not None}


def names_in(place: Path) -> set[str]:
    """Files of a folder, locks and what a run leaves for people of its calls left out."""
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".lock")}


def difference(one: Path, other: Path) -> str:
    """What is not the same in two folders of results; empty where all is."""
    if odd := names_in(one) ^ names_in(other):
        return f"files in one of them alone: {sorted(odd)[:5]}"
    for name in sorted(names_in(one)):
        if not _alike(one / name, other / name):
            return f"{name} is not the same"
    return ""


def _alike(one: Path, other: Path) -> bool:
    if one.name == "command.json":  # a call more for every kill
        return True
    if one.suffix == ".safetensors":
        return tensors_in(one) == tensors_in(other)
    if one.suffix == ".json":
        return _plain(one) == _plain(other)
    if one.suffix == ".jsonl":
        return _set_of_lines(one) == _set_of_lines(other)
    if one.suffix in (".yaml", ".csv") and "logs" not in one.parts:
        return one.read_bytes() == other.read_bytes()
    return True  # pictures, and texts for people, with seconds in them


def _plain(path: Path) -> Any:
    """A JSON file's content; folders go by the name that they have in every place."""
    text = path.read_text().replace(str(path.parent), path.parent.name)
    return without_clock(json.loads(text))


def _set_of_lines(path: Path) -> list[str]:
    lines = map(json.loads, path.read_text().splitlines())
    return sorted(json.dumps(without_clock(line), sort_keys=True) for line in lines)
