"""Image sets in tar shards, as WebDataset has them, here or at a URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO

from convgraft.data.each_file import Progress, Told, each_file
from convgraft.data.imageset import ImageSet, check_two_classes, fingerprint, with_columns
from convgraft.data.layout import Layout
from convgraft.data.near import Near
from convgraft.data.remote import text_at
from convgraft.data.shard_index import ShardIndex, kept_index, new_index
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
TRIES = 3  # a copy of a remote shard may be evicted before it is opened


def open_shards(
    location: str,
    shards: Sequence[Near],
    targets: Sequence[str] = (),
    *,
    gaps: bool = False,
    on_progress: Progress | None = None,
) -> ImageSet:
    """The samples of all shards, one after the other, as one image set.

    Each shard is gone through once, by its headers; what was found is kept. Samples without an
    image, and without `gaps` those without a label, are broken images.

    Args:
        location: as the user typed it.
        shards: the files.
        targets: the label columns asked for, the main one first; none: the only possible one.
        gaps: whether labels may be missing.
        on_progress: called with (what, done, total) while shards are gone through.

    Raises:
        DataError: a shard is damaged or compressed, there are no samples, or the labels cannot be
            told.
        RunError: a remote shard cannot be had.
    """
    indexes = _indexes(shards, on_progress)
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


def _indexes(shards: Sequence[Near], on_progress: Progress | None) -> list[ShardIndex]:
    """The kept ones, and new ones of the other shards: each is kept when it is made."""
    kept = [kept_index(shard.stamp()) for shard in shards]
    new = [shard for shard, index in zip(shards, kept, strict=True) if index is None]
    told = Told("read headers of shards", {one.name: one.size for one in new}, on_progress)
    threads = FETCHED if any(shard.remote for shard in new) else 1
    made = iter(each_file(new, partial(_index, told=told), told, threads=threads))
    return [next(made) if index is None else index for index in kept]


def _index(shard: Near, told: Told) -> ShardIndex:
    opened: Callable[[], BinaryIO] = partial(_open, shard, partial(told.at, shard.name))
    index = new_index(shard.name, shard.stamp(), opened)
    told.finished(shard.name)
    return index


def _open(shard: Near, told: Callable[[int], None]) -> BinaryIO:
    for left in reversed(range(TRIES)):
        try:
            return shard.here(told).open("rb")
        except OSError as error:
            if not left or shard.remote is None:
                raise DataError(f"{shard.path} cannot be read", found=error.strerror) from error
    raise AssertionError


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
