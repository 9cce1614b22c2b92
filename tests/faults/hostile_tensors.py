"""Weights files whose headers lie, whose tensors are more than the file, or no numbers."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile_case import Case, Place
from safetensors.torch import save_file

from convgraft.sources import source

NAME = "filter.weight"  # of a bank of one box filter, [3, 1, 3, 3]
SHAPE, BYTES = [3, 1, 3, 3], 108
GIB = 2**30


def _entry(**other: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": SHAPE, "data_offsets": [0, BYTES], **other}


def _raw(header: object, body: int = BYTES, length: int | None = None) -> bytes:
    """A file of any header, as JSON or bytes; `length` is what it says its header's length is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    told = len(text) if length is None else length
    return struct.pack("<Q", told % 2**64) + text + bytes(body)


def _lies() -> dict[str, bytes]:
    own = _entry()
    other = {"dtype": "F32", "shape": [1], "data_offsets": [BYTES - 4, BYTES]}
    twice = json.dumps({NAME: own}).encode()[:-1] + b"," + json.dumps({NAME: own}).encode()[1:]
    headers: dict[str, object] = {
        "overlapping offsets": {NAME: own, "b": other},
        "offsets beyond the end": {NAME: _entry(data_offsets=[0, 10 * BYTES])},
        "offsets from behind": {NAME: _entry(data_offsets=[BYTES, 0])},
        "offsets below zero": {NAME: _entry(data_offsets=[-4, BYTES])},
        "offsets of 2**63": {NAME: _entry(data_offsets=[0, 2**63])},
        "offsets that are texts": {NAME: _entry(data_offsets=["0", "108"])},
        "a hole": {NAME: _entry(data_offsets=[4, BYTES + 4])},
        "another type of the same size": {NAME: _entry(dtype="I32", shape=[3, 1, 3, 4])},
        "an unknown type": {NAME: _entry(dtype="F33")},
        "no type": {NAME: {"shape": SHAPE, "data_offsets": [0, BYTES]}},
        "a shape of 2**60": {NAME: _entry(shape=[2**60])},
        "a shape that overflows": {NAME: _entry(shape=[2**33, 2**33, 2**33])},
        "a shape below zero": {NAME: _entry(shape=[-3, 1, 3, 3])},
        "a shape of fractions": {NAME: _entry(shape=[1.5, 2])},
        "an empty tensor of 2**60 rows": {NAME: _entry(shape=[2**60, 0], data_offsets=[0, 0])},
        "100 GB of weights": {NAME: _entry(shape=[100 * GIB // 4], data_offsets=[0, 100 * GIB])},
        "no tensors": {},
        "a list": [1, 2],
        "metadata of numbers": {"__metadata__": {"a": 1}, NAME: own},
        "metadata that is a list": {"__metadata__": [], NAME: own},
    }
    found = {what: _raw(header) for what, header in headers.items()}
    return {
        **found,
        "one name twice": _raw(twice),
        "a header longer than the file": _raw({NAME: own}, length=10**6),
        "a header of 2**63": _raw({NAME: own}, length=2**63),
        "a header of 2**64 - 1": _raw({NAME: own}, length=-1),
        "a header that is empty": _raw(b""),
        "a header of zeros": _raw(bytes(1000)),
        "a header that is not UTF-8": _raw(b'{"\xff\xfe": 1}'),
        "a header nested too deeply": _raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "a header cut off": _raw(json.dumps({NAME: own}).encode()[:-3]),
        "nothing at all": b"",
        "seven bytes": b"1234567",
        "a body cut off": _raw({NAME: own}, body=BYTES - 1),
        "a body too long": _raw({NAME: own}, body=BYTES + 1),
    }


def tensor_cases() -> Iterator[Case]:
    """Lying headers as weights and as kernels; then tensors that are not what they seem."""
    for what, content in _lies().items():
        attack, twice = _weights_attack(content), what == "one name twice"
        yield Case(f"safetensors with {what}", attack, "w.safetensors", may_pass=twice)
        kernels = _kernels_attack(content)
        yield Case(f"kernels in safetensors with {what}", kernels, "k.safetensors", may_pass=True)
    for what, tensor in _odd_tensors().items():
        yield Case(f"a checkpoint with {what}", _saved_attack(tensor), "w.pth")
    yield Case("a checkpoint with names that are numbers", _numbered, "w.pth")
    for value in ("nan", "inf", "-inf"):
        yield Case(f"weights of {value}", _not_finite(float(value)), "w.safetensors")
    yield Case("a checkpoint that is compressed", _compressed, "w.pth")
    yield Case("a hundred gigabytes that are not on the disk", _sparse, "w.safetensors")
    for what, header in _arrays().items():
        yield Case(f"an array with {what}", _array_attack(header), "k.npy")
    yield Case("an archive that unpacks to gigabytes", _bomb, "k.npz")


def _weights_attack(content: bytes) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        path = place.inside / "w.safetensors"
        path.write_bytes(content)
        source(f"filters/box@{path}")

    return attack


def _kernels_attack(content: bytes) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        path = place.inside / "k.safetensors"
        path.write_bytes(content)
        source(f"filters/kernels:file={path}")

    return attack


def _odd_tensors() -> Mapping[str, torch.Tensor]:
    return {
        "a number as 10**12 of them": torch.zeros(1).expand(10**12),
        "a number as a filter": torch.zeros(1, 1, 1, 1).expand(*SHAPE),
        "a sparse tensor": torch.zeros(SHAPE).to_sparse(),
        "complex numbers": torch.zeros(SHAPE, dtype=torch.complex64),
        "a tensor without data": torch.empty(SHAPE, device="meta"),
    }


def _saved_attack(tensor: torch.Tensor) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        torch.save({NAME: tensor}, place.inside / "w.pth")
        source(f"filters/box@{place.inside / 'w.pth'}")

    return attack


def _numbered(place: Place) -> None:
    torch.save({1: torch.zeros(SHAPE)}, place.inside / "w.pth")
    source(f"filters/box@{place.inside / 'w.pth'}")


def _not_finite(value: float) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        weight = torch.zeros(SHAPE)
        weight[1, 0, 2, 2] = value
        save_file({NAME: weight}, place.inside / "w.safetensors")
        source(f"filters/box@{place.inside / 'w.safetensors'}")

    return attack


def _compressed(place: Place) -> None:
    buffer = io.BytesIO()
    torch.save({NAME: torch.zeros(10**6)}, buffer)
    with (
        zipfile.ZipFile(buffer) as old,
        zipfile.ZipFile(place.inside / "w.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    source(f"filters/box@{place.inside / 'w.pth'}")


def _sparse(place: Place) -> None:
    """The header is true: the file is that long, and takes no room."""
    path = place.inside / "w.safetensors"
    size = 100 * GIB
    path.write_bytes(_raw({NAME: _entry(shape=[size // 4], data_offsets=[0, size])}, body=0))
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size + size)
    source(f"filters/box@{path}")


def _arrays() -> dict[str, str]:
    head = "'descr': '<f8', 'fortran_order': False, 'shape'"
    return {
        "more numbers than follow": f"{{{head}: (3, 3, 3)}}",
        "2**60 numbers": f"{{{head}: ({2**60},)}}",
        "a shape below zero": f"{{{head}: (-3, 3)}}",
        "a header of code": "__import__('os').mkdir('../ran')",
        "a header nested too deeply": "(" * 5000,
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (3, 3)}",
    }


def _array_attack(header: str) -> Callable[[Place], object]:
    def attack(place: Place) -> None:
        path = place.inside / "k.npy"
        text = header.encode() + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(16))
        source(f"filters/kernels:file={path}")

    return attack


def _bomb(place: Place) -> None:
    path: Path = place.inside / "k.npz"
    np.savez_compressed(path, kernels=np.zeros((9, 1001, 1001)))
    source(f"filters/kernels:file={path}")
