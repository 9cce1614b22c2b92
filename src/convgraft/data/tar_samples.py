"""Samples of a tar shard: the files with one key are one image and its labels (WebDataset).

The key is a member's name up to the first dot of its last part: `dogs/0017.jpg` and `dogs/0017.cls`
are the sample `dogs/0017`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from convgraft.data.file_bytes import LARGEST
from convgraft.data.tar_headers import Member, tar_members
from convgraft.data.walk import IMAGE_SUFFIXES

CLS, JSON = "cls", "json"
LONGEST_LABEL = 200  # characters; longer text is a caption and no class
LARGEST_LABELS = 2**20  # bytes of a file of labels
Value = int | str


@dataclass
class Sample:
    """What stands in a shard under one key.

    Attributes:
        offset, length: where the image's bytes lie; -1 where they cannot be used.
        labels: by column; `.cls` is the column `cls`, fields of `.json` have their own names.
        fault: why there is no image, as the rest of a sentence.
    """

    key: str
    offset: int = -1
    length: int = -1
    labels: dict[str, Value] = field(default_factory=dict)
    fault: str | None = None
    seen: set[str] = field(default_factory=set)


def read_samples(file: BinaryIO, name: str) -> list[Sample]:
    """The samples of a tar in the order of their first member; raises DataError as `tar_members`.

    What is wrong with one sample is its `fault`: no image, several, a link, a broken label.
    """
    samples: dict[str, Sample] = {}
    labels: list[tuple[Sample, str, Member]] = []
    for key, kind, member in _named(tar_members(file, name)):
        sample = samples.setdefault(key, Sample(key))
        what = "images" if kind == "image" else f"files .{kind}"
        if kind in sample.seen:
            sample.fault = f"has several {what}"
        elif member.fault:
            sample.fault = member.fault
        elif kind == "image":
            _place(sample, member)
        else:
            labels.append((sample, kind, member))
        sample.seen.add(kind)
    for sample, kind, member in labels:
        _read_labels(sample, kind, file, member)
    for sample in samples.values():
        if "image" not in sample.seen:
            sample.fault = sample.fault or "has no image"
        if sample.fault:
            sample.offset = sample.length = -1
    return list(samples.values())


def _named(members: Iterable[Member]) -> Iterator[tuple[str, str, Member]]:
    """Key and kind of what can be part of a sample; hidden files and all else are passed over."""
    for member in members:
        folder, slash, base = member.name.rpartition("/")
        stem, _, end = base.partition(".")
        end = end.lower()
        kind = "image" if f".{end}" in IMAGE_SUFFIXES else end
        if stem and kind in ("image", CLS, JSON):
            yield f"{folder}{slash}{stem}", kind, member


def _place(sample: Sample, member: Member) -> None:
    if member.length > LARGEST:
        sample.fault = f"is larger than {LARGEST // 2**20} MiB"
        return
    sample.offset, sample.length = member.offset, member.length


def _read_labels(sample: Sample, kind: str, file: BinaryIO, member: Member) -> None:
    if member.length > LARGEST_LABELS:
        sample.fault = f"has a file .{kind} of {member.length} bytes"
        return
    file.seek(member.offset)
    data = file.read(member.length)
    try:
        found = {CLS: _value(data.decode().strip())} if kind == CLS else _fields(data)
    except (ValueError, RecursionError):
        sample.fault = f"has a damaged file .{kind}"
        return
    sample.labels |= {name: value for name, value in found.items() if value is not None}


def _fields(data: bytes) -> dict[str, Value | None]:
    read = json.loads(data)
    if not isinstance(read, dict):
        raise ValueError("no object")
    return {name: _scalar(value) for name, value in read.items()}


def _scalar(value: Any) -> Value | None:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)[:LONGEST_LABEL]
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_LABEL else None


def _value(text: str) -> Value | None:
    """A whole number where the text is one, as `int` writes it; else the text."""
    try:
        number = int(text) if len(text) < 19 else None
    except ValueError:
        number = None
    return _scalar(text if number is None or str(number) != text else number)
