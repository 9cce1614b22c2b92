"""The index of an entry: what is committed. One safetensors file, replaced whole.

`rows.bin` counts only as far as the index says so. The index holds the ids in slot order, the chunk
table (start, stop, CRC-32) and, in words for people, what the values are. It has a checksum of its
own: an index that is damaged or foreign reads as none, and the entry begins anew.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from convgraft.cache.lookup import Lookup
from convgraft.cache.precision import RowType
from convgraft.durable.on_disk import sync_folder

INDEX = "index.safetensors"
FORMAT = 1
HEADER = "convgraft"


@dataclass(frozen=True, eq=False)
class Index:
    """What an entry holds.

    Attributes:
        row: shape and type of a row.
        facts: what the values are, for people.
        created: seconds since 1970.
        end: the slot that the next chunk begins at. It never goes back, so that a slot that a
            reader knows never gets another image: the place of a forgotten chunk stays a hole.
        ids: [rows], in slot order.
        chunks: [K, 3], of start slot, stop slot and CRC-32 of the bytes between; ascending.
    """

    row: RowType
    facts: Mapping[str, Any]
    created: float
    end: int
    ids: NDArray[np.uint64]
    chunks: NDArray[np.int64]

    @classmethod
    def empty(cls, row: RowType, facts: Mapping[str, Any], created: float) -> Index:
        """Nothing yet."""
        none = np.empty((0, 3), np.int64)
        return cls(row, facts, created, 0, np.empty(0, np.uint64), none)

    @cached_property
    def lookup(self) -> Lookup:
        """The way from ids to slots."""
        return Lookup.of(self.ids, _slots(self.chunks))

    def with_chunk(self, ids: NDArray[np.uint64], checksum: int) -> Index:
        """This index and one more chunk, at its end."""
        stop = self.end + len(ids)
        chunk = np.array([[self.end, stop, checksum]], np.int64)
        grown = replace(
            self,
            end=stop,
            ids=np.concatenate([self.ids, ids]),
            chunks=np.concatenate([self.chunks, chunk]),
        )
        # sorting all ids anew for each chunk would cost more than writing it
        vars(grown)["lookup"] = self.lookup.with_more(ids, np.arange(self.end, stop))
        return grown

    def without(self, damaged: NDArray[np.bool_]) -> Index:
        """This index without some of its chunks, [K]."""
        gone = np.repeat(damaged, self.chunks[:, 1] - self.chunks[:, 0])
        return replace(self, ids=self.ids[~gone], chunks=self.chunks[~damaged])

    def chunks_of(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of the chunks that slots are in, ascending, each once."""
        if not len(self.chunks):
            return np.empty(0, np.int64)
        numbers = np.searchsorted(self.chunks[:, 0], slots, side="right") - 1
        return np.unique(numbers[(numbers >= 0) & (slots < self.chunks[numbers, 1])])


def _slots(chunks: NDArray[np.int64]) -> NDArray[np.int64]:
    spans = [np.arange(start, stop) for start, stop, _ in chunks.tolist()]
    return np.concatenate([np.empty(0, np.int64), *spans])


def write_index(folder: Path, index: Index) -> None:
    """Put an index in place: after a crash there is the old one or the new one."""
    header = {
        "format": FORMAT,
        "shape": index.row.shape,
        "dtype": index.row.dtype,
        "facts": dict(index.facts),
        "created": index.created,
        "end": index.end,
    }
    text = json.dumps(header, ensure_ascii=False)
    told = {HEADER: text, "crc32": str(_checksum(text, index.ids, index.chunks))}
    part = folder / f"{INDEX}.part"
    try:
        with part.open("wb") as file:
            file.write(save({"ids": index.ids, "chunks": index.chunks}, told))
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / INDEX)
        sync_folder(folder)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def read_index(folder: Path) -> Index | None:
    """The index of a folder; None where there is none, or a damaged or foreign one."""
    try:
        with safe_open(folder / INDEX, "numpy") as file:
            told = file.metadata() or {}
            ids, chunks = file.get_tensor("ids"), file.get_tensor("chunks")
        if int(told["crc32"]) != _checksum(told[HEADER], ids, chunks):
            return None
        header = json.loads(told[HEADER])
        if header["format"] != FORMAT:
            return None
        row = RowType(tuple(header["shape"]), header["dtype"])
        return Index(row, header["facts"], header["created"], header["end"], ids, chunks)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _checksum(header: str, ids: NDArray[np.uint64], chunks: NDArray[np.int64]) -> int:
    checksum = zlib.crc32(header.encode())
    for part in (ids, chunks):
        checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
    return checksum
