"""`ImageSet`: what a data set holds, known without decoding a single image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from convgraft.data.broken import BrokenImage
from convgraft.data.columns import Column, Labels
from convgraft.data.decode import decode
from convgraft.data.layout import Layout
from convgraft.errors import DataError

PARTS = ("train", "val", "test")
PART_NAMES: Mapping[str, str] = MappingProxyType(
    {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
)
Source = Callable[[int], "bytes | NDArray[np.uint8]"]
Stamps = Callable[[Sequence[int]], Sequence[str]]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images at one location.

    Attributes:
        location: where they are, as the user typed it.
        kind: `folder`, `parquet`, `shards`, `datasets` or `digits`.
        target: the label column that was read, where columns have names, else None.
        classes: class names; `labels` index into it.
        ids: one stable id per image, e.g. `airplane/airplane_0001.jpg` or `test.parquet#17`.
        labels: int64 [N], read-only; -1, where several columns were asked for, is a missing label.
        parts: `train`, `val` or `test` per image where the data itself says so, else None.
        fingerprint: sha256 that changes when a file is added, removed, resized or relabelled,
            and does not when the set moves to another place.
        source: gives the encoded bytes, or grey pixels uint8 [H, W], of the image at an index.
        others: further label columns by name, in the order asked for; `target`, `classes` and
            `labels` are the main one.
        stamps: gives for images at indices a text each that names file, place in it, size and time
            as they are now (see `image_ids`); None where that cannot be had.
        layout: shards or row groups that images lie in; None: each lies for itself.
        streams: whether decoded images are better not kept: there may be more than fit anywhere.
    """

    location: str
    kind: str
    target: str | None
    classes: tuple[str, ...]
    ids: tuple[str, ...] = field(repr=False)
    labels: Labels = field(repr=False)
    parts: tuple[str, ...] | None = field(repr=False)
    fingerprint: str
    source: Source = field(repr=False)
    others: Mapping[str, Column] = field(default_factory=dict, repr=False)
    stamps: Stamps | None = field(default=None, repr=False)
    layout: Layout | None = field(default=None, repr=False)
    streams: bool = False

    def __len__(self) -> int:
        """The number of images."""
        return len(self.ids)

    def raw(self, index: int) -> bytes | NDArray[np.uint8]:
        """The image as stored: encoded bytes, or for digits the grey pixels uint8 [8, 8].

        Raises:
            BrokenImage: its file cannot be read.
            IndexError: `index` is not in 0..N-1.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        try:
            return self.source(index)
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error})"
            raise BrokenImage(self.ids[index], reason) from error

    def read(self, index: int) -> torch.Tensor:
        """The image's pixels: uint8 [3, H, W], RGB. Raises `BrokenImage` if they cannot be had."""
        raw = self.raw(index)
        if isinstance(raw, bytes):
            return decode(raw, id=self.ids[index])
        return torch.from_numpy(raw).expand(3, -1, -1).contiguous()


def fingerprint(
    kind: str,
    target: str | None,
    classes: Sequence[str],
    ids: Sequence[str],
    labels: Labels,
    sizes: Iterable[tuple[str, int]],
) -> str:
    """The sha256 over everything that makes an image set the same one, in 64 hex digits.

    Args:
        kind, target, classes, ids, labels: as in `ImageSet`.
        sizes: name and size in bytes of each file.
    """
    facts = [kind, target, list(classes), list(ids), labels.tolist(), [list(s) for s in sizes]]
    return _digest(facts)


def with_columns(images: ImageSet, columns: Sequence[Column]) -> ImageSet:
    """`images` with further label columns, which its fingerprint then depends on as well.

    Without columns the set, and so its fingerprint, stays what it is.
    """
    if not columns:
        return images
    facts = [[column.name, list(column.classes), column.labels.tolist()] for column in columns]
    return replace(
        images,
        fingerprint=_digest([images.fingerprint, facts]),
        others={**images.others, **{column.name: column for column in columns}},
    )


def _digest(facts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode("ascii")).hexdigest()


def frozen_labels(values: Sequence[int] | NDArray[np.integer]) -> Labels:
    """A read-only int64 copy [N]."""
    labels = np.array(values, dtype=np.int64)
    labels.flags.writeable = False
    return labels


def check_two_classes(location: str, classes: Sequence[str], *, hint: str | None = None) -> None:
    """Raise `DataError` unless there are at least two classes to tell apart."""
    if len(classes) < 2:
        raise DataError(
            f"{location} has only one class",
            expected="two classes or more",
            found=", ".join(classes) or "none",
            hint=hint,
        )
