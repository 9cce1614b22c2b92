"""Where decoded pixels lie in the store, and how they are read from it."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray

from convgraft.cache.entry import Entry
from convgraft.cache.folder import Cache
from convgraft.cache.precision import RowType
from convgraft.data.decode import DECODER
from convgraft.errors import ConvgraftError


def pixel_entry(cache: Cache, size: int) -> Entry:
    """Where pixels of one size lie: uint8 [3, size, size], under all that they depend on."""
    made_by = [DECODER, *map(version, ("pillow", "torchvision", "torch"))]
    key = hashlib.sha256(json.dumps(["pixels", size, *made_by]).encode("ascii")).hexdigest()
    facts = {"what": f"decoded pixels, {size}x{size}"}
    return cache.entry(key, RowType((3, size, size), "uint8"), facts)


def read_stored(
    entry: Entry, ids: NDArray[np.uint64]
) -> tuple[NDArray[np.bool_], torch.Tensor | None]:
    """Which of some images are stored and sound, [N], and their values [M, *shape]; None of none.

    Damaged rows are forgotten on the way.
    """
    try:
        slots = entry.slots(ids)
        if entry.verify(slots[slots >= 0]):
            slots = entry.slots(ids)
        stored = slots >= 0
        return stored, entry.read(slots[stored]) if stored.any() else None
    # Deleted by another process, or damaged in a folder that cannot be written.
    except (ConvgraftError, OSError):
        return np.zeros(len(ids), np.bool_), None
