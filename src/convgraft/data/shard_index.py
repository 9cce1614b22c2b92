"""The index of a tar shard: where each image lies and how it is labelled, kept between runs.

It is a small file in the cache folder, bound to what the shard is (its place, size and time, or of
a remote one its ETag): a shard that changed has another index. A damaged one is made anew.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from convgraft.data.remote_copies import INDEX, make_room, mark_used
from convgraft.data.tar_samples import Sample, Value, read_samples
from convgraft.data.user_caches import shards_folder
from convgraft.durable.on_disk import put_in_place
from convgraft.errors import RunError

FORMAT = 1  # to be raised with every change after which an index reads otherwise


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The samples of one shard, in order.

    Attributes:
        keys: of the samples.
        offsets, lengths: of their images in the file, int64 [N]; -1 for a broken one.
        columns: by name, a label for each sample, or None.
        faults: by sample, why it is broken.
    """

    keys: tuple[str, ...]
    offsets: NDArray[np.int64] = field(repr=False)
    lengths: NDArray[np.int64] = field(repr=False)
    columns: dict[str, list[Value | None]] = field(repr=False)
    faults: dict[int, str]

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.keys)


def kept_index(identity: str) -> ShardIndex | None:
    """The index of a shard that is kept; None where there is none that can be used.

    Args:
        identity: text that changes when the shard does.
    """
    return _read(_path(identity))


def new_index(name: str, identity: str, opened: Callable[[], BinaryIO]) -> ShardIndex:
    """An index by a pass over the headers of a shard; it is kept, where there is room for it.

    Args:
        name: of the shard, for errors.
        identity: text that changes when the shard does.
        opened: opens the shard.

    Raises:
        DataError: the shard is damaged.
    """
    with opened() as file:
        made = _of(read_samples(file, name))
    # a cache that cannot be written costs another pass next time
    with suppress(OSError, RunError):
        _write(_path(identity), made, name)
    return made


def _path(identity: str) -> Path:
    digest = hashlib.sha256(f"{FORMAT} {identity}".encode("utf-8", "surrogateescape")).hexdigest()
    return shards_folder() / f"{digest}{INDEX}"


def _of(samples: Sequence[Sample]) -> ShardIndex:
    names = dict.fromkeys(name for sample in samples for name in sample.labels)
    return ShardIndex(
        tuple(sample.key for sample in samples),
        np.array([sample.offset for sample in samples], dtype=np.int64),
        np.array([sample.length for sample in samples], dtype=np.int64),
        {name: [sample.labels.get(name) for sample in samples] for name in names},
        {row: sample.fault for row, sample in enumerate(samples) if sample.fault},
    )


def _write(path: Path, index: ShardIndex, name: str) -> None:
    facts: dict[str, Any] = {
        "keys": index.keys,
        "offsets": index.offsets.tolist(),
        "lengths": index.lengths.tolist(),
        "columns": index.columns,
        "faults": list(index.faults.items()),
    }
    body = json.dumps(facts, separators=(",", ":")).encode("ascii")
    path.parent.mkdir(parents=True, exist_ok=True)
    make_room(f"the index of {name}", len(body))
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(_checksum(body) + b"\n" + body)
        put_in_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path) -> ShardIndex | None:
    """What stands in a file; None where there is none, or it is not as it was written."""
    try:
        told, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if told != _checksum(body):
        return None
    facts = json.loads(body)
    mark_used(path)
    return ShardIndex(
        tuple(facts["keys"]),
        np.array(facts["offsets"], dtype=np.int64),
        np.array(facts["lengths"], dtype=np.int64),
        facts["columns"],
        dict(facts["faults"]),
    )


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode("ascii")
