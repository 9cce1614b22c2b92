"""Labels of tar shards: from `.cls` files, or from a field of `.json` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from convgraft.data.columns import MISSING, OWN_COLUMN, Column, check_some_label
from convgraft.data.imageset import frozen_labels
from convgraft.data.parquet_labels import LABEL_NAMES
from convgraft.data.shard_index import ShardIndex
from convgraft.data.tar_samples import CLS, Value
from convgraft.errors import DataError, near_miss


def choose_columns(
    location: str, indexes: Sequence[ShardIndex], targets: Sequence[str]
) -> tuple[str, ...]:
    """The label columns asked for, or the only one that can be meant; the main one first.

    `label` also names what `.cls` files say, where no field of that name is there.

    Raises:
        DataError: there is no such column, or there are several and none was asked for.
    """
    names = tuple(dict.fromkeys(chain.from_iterable(index.columns for index in indexes)))
    if targets:
        return tuple(_known(location, name, names) for name in targets)
    likely = [name for name in names if name == CLS] or [n for n in names if n in LABEL_NAMES]
    candidates = likely or list(names)
    if len(candidates) == 1:
        return (candidates[0],)
    raise DataError(
        f"{location} has {'several possible labels' if names else 'no labels'}",
        expected="a file KEY.cls beside each image, or KEY.json with a field for its label",
        found=", ".join(names[:10]) if names else None,
        hint="pass --target NAME" if names else None,
    )


def read_shard_column(
    location: str,
    indexes: Sequence[ShardIndex],
    name: str,
    given: Sequence[str] | None = None,
) -> Column:
    """One label column over all shards.

    Class names are `given` (`classes.txt`), which numbers count and names are looked up in; else
    the distinct values, sorted.

    Raises:
        DataError: no sample has a label, or one is not among the classes.
    """
    values = [value for index in indexes for value in _values(index, name)]
    said = {value for value in values if value is not None}
    classes, number = _numbered(location, name, said, given)
    labels = frozen_labels([MISSING if value is None else number[value] for value in values])
    column = Column(name, classes, labels)
    check_some_label(location, column)
    return column


def _known(location: str, name: str, names: Sequence[str]) -> str:
    if name in names:
        return name
    if name == OWN_COLUMN and CLS in names:
        return CLS
    raise DataError(
        f"{location} has no label column {name}",
        expected=f"one of {', '.join(names[:10])}" if names else "labels beside the images",
        hint=near_miss(name, names),
    )


def without_unlabelled(index: ShardIndex, name: str) -> ShardIndex:
    """The same samples, of which those without a label in that column are broken."""
    missing = [row for row, value in enumerate(_values(index, name)) if value is None]
    offsets = index.offsets.copy()
    offsets[missing] = -1
    faults = dict.fromkeys(missing, "has no label") | index.faults
    return replace(index, offsets=offsets, faults=faults)


def _values(index: ShardIndex, name: str) -> Sequence[Value | None]:
    return index.columns.get(name) or [None] * len(index)


def _numbered(
    location: str, name: str, said: set[Value], given: Sequence[str] | None
) -> tuple[tuple[str, ...], Mapping[Value, int]]:
    """Class names, and the number of the class of every value."""
    numbers = all(isinstance(value, int) for value in said)
    if given is None:
        ordered = sorted(said) if numbers else sorted({str(value) for value in said})
        place = {value: row for row, value in enumerate(ordered)}
        return tuple(map(str, ordered)), {v: place[v if numbers else str(v)] for v in said}
    names = {text: row for row, text in enumerate(given)}
    found = {value: value if numbers else names.get(str(value), -1) for value in said}
    wrong = sorted(str(v) for v, row in found.items() if not 0 <= int(row) < len(given))
    if wrong:
        raise DataError(
            f"{location}: {len(wrong)} labels in {name} are not in classes.txt",
            expected=f"0..{len(given) - 1}, or a name that stands there",
            found=", ".join(wrong[:5]),
        )
    return tuple(given), {value: int(row) for value, row in found.items()}


def parts_of(parts: Sequence[str | None], indexes: Sequence[ShardIndex]) -> tuple[str, ...] | None:
    """The part of each sample, where every shard says one and they are not all the same."""
    if None in parts or len(set(parts)) < 2:
        return None
    lengths = np.array([len(index) for index in indexes])
    return tuple(np.repeat(np.array(parts, dtype=object), lengths).tolist())
