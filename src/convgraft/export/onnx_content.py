"""Whether an ONNX file holds all of its weights, looked up before a runtime opens it.

An ONNX file may name other files that hold its tensors. `convgraft export` never writes such a
file, and one of a stranger could name any file of this machine. The format is that of Protocol
Buffers, of which only the parts that lead to a tensor are looked into; no library is needed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from convgraft.errors import ArtifactError

# message: number of a field to the message in it (onnx.proto3)
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        10: "tensor",
        6: "graph",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL = (13, 14)  # of a tensor: where its data lies, and that it lies elsewhere
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 100
MAX_FIELDS = 5_000_000


def refuse_external_data(path: Path) -> None:
    """Raise ArtifactError where a file is no ONNX model, or leaves its tensors to other files."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            external = _has_external_data(data)
    except (OSError, ValueError, IndexError) as error:
        raise ArtifactError(
            f'"{path}" cannot be read as ONNX', found=str(error), hint="export it again"
        ) from error
    if external:
        raise ArtifactError(
            f'"{path}" keeps its weights in other files',
            expected="one file with everything in it, as convgraft export writes it",
            hint="convgraft export RUN --format onnx",
        )


def _has_external_data(data: mmap.mmap) -> bool:
    left = [("model", 0, len(data), 0)]
    seen = 0
    while left:
        message, start, end, depth = left.pop()
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        for number, kind, at, stop in _fields(data, start, end):
            seen += 1
            if seen > MAX_FIELDS:
                raise ValueError("it has too many parts")
            if message == "tensor" and number in _EXTERNAL and (kind == _BYTES or data[at] != 0):
                return True
            if kind == _BYTES and number in _INSIDE[message]:
                left.append((_INSIDE[message][number], at, stop, depth + 1))
    return False


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, kind, start and end of every field of a message; raises ValueError for damage."""
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            _, stop = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            stop = at + length
        elif kind in (_FIXED32, _FIXED64):
            stop = at + (4 if kind == _FIXED32 else 8)
        else:
            raise ValueError(f"a field of kind {kind} at byte {at}")
        if stop > end:
            raise ValueError(f"a field that ends at byte {stop}, where its message ends at {end}")
        yield key >> 3, kind, at, stop
        at = stop


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for place in range(10):
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError(f"a number that does not end at byte {at}")
