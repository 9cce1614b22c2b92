"""Image sets in tar shards, as WebDataset has them, here or at a URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import BinaryIO

from convgraft.data.imageset import ImageSet, check_two_classes, fingerprint, with_columns
from convgraft.data.layout import Layout
from convgraft.data.near import Near
from convgraft.data.remote import text_at
from convgraft.data.shard_index import ShardIndex, shard_index
from convgraft.data.shard_labels import (
    choose_columns,
    parts_of,
    read_shard_column,
    without_unlabelled,
)
from convgraft.data.shard_rows import ShardRows
from convgraft.errors import DataError
from convgraft.plan.plain_yaml import read_text

NAMES = "classes.txt"
FETCHED = 4  # remote shards that are downloaded at the same time


def open_shards(
    location: str, shards: Sequence[Near], targets: Sequence[str] = (), *, gaps: bool = False
) -> ImageSet:
    """The samples of all shards, one after the other, as one image set.

    Each shard is gone through once, by its headers; what was found is kept. Samples without an
    image, and without `gaps` those without a label, are broken images.

    Args:
        location: as the user typed it.
        shards: the files.
        targets: the label columns asked for, the main one first; none: the only possible one.
        gaps: whether labels may be missing.

    Raises:
        DataError: a shard is damaged or compressed, there are no samples, or the labels cannot be
            told.
        RunError: a remote shard cannot be had.
    """
    indexes = _indexes(shards)
    if not sum(map(len, indexes)):
        raise DataError(
            f"there are no images in the {len(shards)} shards of {location}",
            expected="files such as KEY.jpg and KEY.cls in them",
        )
    names = choose_columns(location, indexes, targets)
    main = read_shard_column(location, indexes, names[0], _class_names(location, shards))
    check_two_classes(location, main.classes)
    if not gaps:
        indexes = [without_unlabelled(index, main.name) for index in indexes]
    ids = tuple(
        f"{shard.name}#{key}"
        for shard, index in zip(shards, indexes, strict=True)
        for key in index.keys
    )
    rows = ShardRows(shards, indexes)
    sizes = [
        (shard.name, int(index.lengths.sum())) for shard, index in zip(shards, indexes, strict=True)
    ]
    images = ImageSet(
        location=location,
        kind="shards",
        target=main.name,
        classes=main.classes,
        ids=ids,
        labels=main.labels,
        parts=parts_of([shard.part for shard in shards], indexes),
        fingerprint=fingerprint("shards", main.name, main.classes, ids, main.labels, sizes),
        source=rows,
        stamps=rows.stamps,
        layout=Layout(tuple(map(len, indexes)), rows.fetch),
        streams=True,
    )
    others = [read_shard_column(location, indexes, name) for name in names[1:]]
    for column in others:
        check_two_classes(f"{location}: the column {column.name}", column.classes)
    return with_columns(images, others)


def _indexes(shards: Sequence[Near]) -> list[ShardIndex]:
    if not any(shard.remote for shard in shards):
        return [_index(shard) for shard in shards]
    with ThreadPoolExecutor(FETCHED, thread_name_prefix="fetch") as pool:
        return list(pool.map(_index, shards))


def _index(shard: Near) -> ShardIndex:
    opened: Callable[[], BinaryIO] = partial(_open, shard)
    return shard_index(shard.name, shard.stamp(), opened)


def _open(shard: Near) -> BinaryIO:
    try:
        return shard.here().open("rb")
    except OSError as error:
        raise DataError(f"{shard.path} cannot be read", found=error.strerror) from error


def _class_names(location: str, shards: Sequence[Near]) -> tuple[str, ...] | None:
    """The lines of `classes.txt` beside the shards, or above their parts; None without one."""
    first = shards[0]
    text = _text_above(first.remote.url) if first.remote else _text_beside(first)
    if text is None:
        return None
    names = tuple(line.strip() for line in text.strip().splitlines())
    if len(set(names)) < len(names) or "" in names:
        raise DataError(
            f"{NAMES} of {location} cannot be used", expected="the name of one class on each line"
        )
    return names


def _text_beside(shard: Near) -> str | None:
    folders = [shard.path.parent, *([shard.path.parent.parent] if "/" in shard.name else [])]
    found = [folder / NAMES for folder in folders if (folder / NAMES).is_file()]
    return read_text(found[0], f"the class names {found[0]}", DataError) if found else None


def _text_above(url: str) -> str | None:
    place, _, _ = url.partition("?")
    return text_at(f"{place.rpartition('/')[0]}/{NAMES}")
