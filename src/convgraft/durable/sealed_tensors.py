"""safetensors files that say what they hold by a checksum, and are refused where that is not so.

The format itself has none: a byte that a disk changed would be another number, and nobody told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from convgraft.durable.on_disk import put_in_place
from convgraft.durable.tensors import write_tensors

CHECKSUM = "convgraft_sha256"


class DamagedTensors(ValueError):  # noqa: N818
    """A file does not hold what was written, or cannot be read at all."""


def save_sealed(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors and notes with their checksum, whole or not at all."""
    # clones, because safetensors refuses tensors that share memory
    kept = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
    part = path.with_name(f".{path.name}.part")
    write_tensors(part, kept, {**notes, CHECKSUM: _checksum(kept, notes)})
    put_in_place(part, path)


def load_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and notes of a file; one without a checksum is taken as it is.

    Raises DamagedTensors.
    """
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            notes = dict(file.metadata() or {})
    # a damaged header may name a type or a shape that torch does not know
    except (OSError, SafetensorError, ValueError, RuntimeError, TypeError) as error:
        raise DamagedTensors(str(error)) from error
    wanted = notes.pop(CHECKSUM, None)
    if wanted is not None and wanted != _checksum(tensors, notes):
        raise DamagedTensors("it is damaged: its checksum is another one than it was written with")
    return tensors, notes


def _checksum(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(notes), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
