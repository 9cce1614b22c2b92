"""Broken tables: a word that says what is wrong, or a result; never a traceback, never a hang."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from bad_pictures import encoded
from campaign import Campaign, Trial
from pyarrow import parquet
from watched import Bounds, watched
from wild_text import damaged

from convgraft.data import (
    conflict_words,
    find_conflicts,
    image_digests,
    image_ids,
    load_pixels,
    open_images,
    read_split,
    split_images,
    write_split,
)
from convgraft.errors import ConvgraftError

BOUNDS = Bounds(seconds=60, bytes=2**30)
READ = "it was read"
NO_IMAGES = "no image column"
Table = Callable[[Path], str]  # makes a set below a folder; gives words of the error, or READ


def try_tables(seed: int, count: int, folder: Path, first: int = 0) -> Iterator[Trial]:
    """Odd tables by name, then damaged Parquet files and splits."""
    whole_table()
    return watched(partial(_one, seed, folder), first, count, folder, BOUNDS)


def _one(seed: int, folder: Path, number: int) -> Trial:
    place = folder / f"{number}"
    place.mkdir()
    if number < len(ODD):
        name = list(ODD)[number]
        return Trial(name, _wrong_odd(place, ODD[name]))
    rng = np.random.default_rng([seed, number])
    if number % 4 == 0:
        return Trial(f"split {number} of seed {seed}", _wrong_split(place, rng))
    path = place / "train.parquet"
    path.write_bytes(damaged(rng, whole_table(), 3))
    return Trial(f"Parquet {number} of seed {seed}", _wrong(path)[0])


def _wrong(path: Path) -> tuple[str, str]:
    """What is wrong with how a set is read, and the error that told it, or READ."""
    try:
        images = open_images(path)
        split = split_images(images, seed=0)
        load_pixels(images, 8, indices=[*split.train, *split.val, *split.test])
        image_ids(images, range(len(images)))
        words = conflict_words(find_conflicts(images, image_digests(images, range(len(images)))))
    except ConvgraftError as error:
        return ("" if error.what.strip() else "the error is empty"), str(error)
    return "", f"{READ} {words}"


def _wrong_odd(folder: Path, table: Table) -> str:
    words = table(folder)
    fault, told = _wrong(next(folder.iterdir()))
    return fault or ("" if words in told else f'"{words}" is not said: {told}')


def _wrong_split(folder: Path, rng: np.random.Generator) -> str:
    images = open_images("digits")
    split = split_images(images, seed=0, limit=10, val=0.01, test=0.01)
    path = folder / "split.csv"
    write_split(path, images, split)
    path.write_bytes(damaged(rng, path.read_bytes(), 3))
    try:
        read = read_split(path, images)
    except ConvgraftError:
        return ""
    parts = [*read.train, *read.val, *read.test]
    return "" if len(set(parts)) == len(parts) else "an image is in two parts"


def _picture(seed: int) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8))


def _structs(count: int) -> list[dict[str, Any]]:
    return [{"bytes": _picture(row), "path": f"{row}.png"} for row in range(count)]


@cache
def whole_table() -> bytes:
    """A Parquet file as the hub has them: 30 pictures, two row groups, labels with names."""
    table = pa.table({"image": _structs(30), "label": [row % 3 for row in range(30)]})
    names = {"label": {"_type": "ClassLabel", "names": ["cat", "dog", "cow"]}}
    noted = json.dumps({"info": {"features": names}})
    file = BytesIO()
    parquet.write_table(
        table.replace_schema_metadata({"huggingface": noted}), file, row_group_size=15
    )
    return file.getvalue()


def _columns(words: str, **columns: Any) -> Table:
    """A Parquet file of columns, and what must be said of it."""

    def make(folder: Path) -> str:
        parquet.write_table(pa.table(columns), folder / "t.parquet")
        return words

    return make


def _labels(words: str, labels: Any) -> Table:
    return _columns(words, image=_structs(len(labels)), label=labels)


def _named(words: str, labels: list[int], names: Any) -> Table:
    def make(folder: Path) -> str:
        features = {"label": {"_type": "ClassLabel", "names": names}}
        noted = {"huggingface": json.dumps({"info": {"features": features}})}
        table = pa.table({"image": _structs(len(labels)), "label": labels})
        parquet.write_table(table.replace_schema_metadata(noted), folder / "t.parquet")
        return words

    return make


def _folders(words: str, **counts: int) -> Table:
    """Class folders of so many pictures, all different; `_` stands for `/`."""

    def make(folder: Path) -> str:
        seed = 0
        for name, count in counts.items():
            place = folder / "set" / name.replace("_", "/")
            place.mkdir(parents=True)
            for number in range(count):
                seed += 1
                (place / f"{number}.png").write_bytes(_picture(seed))
        return words

    return make


def _copies(folder: Path) -> str:
    """The same picture in two classes."""
    _folders("", cat=4, dog=4)(folder)
    for name in ("cat", "dog"):
        (folder / "set" / name / "same.png").write_bytes(_picture(0))
    return "1 picture has several labels"


def _file(words: str, name: str, data: bytes) -> Table:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(data)
        return words

    return make


def _text(folder: Path) -> str:
    """Labels that are no UTF-8."""
    raw = pa.array([b"cat", b"\xff\xfe", b"dog"] * 3, pa.binary())
    labels = pa.Array.from_buffers(pa.string(), 9, raw.buffers())
    parquet.write_table(pa.table({"image": _structs(9), "label": labels}), folder / "t.parquet")
    return "cannot be read"


def _folder_as_file(folder: Path) -> str:
    (folder / "t.parquet").mkdir()
    return "has no class folders"


def _shards(folder: Path) -> str:
    """A name that claims 100 billion shards."""
    (folder / "set").mkdir()
    (folder / "set" / "train-00000-of-99999999999.parquet").write_bytes(whole_table())
    return "lacks 99999999998"


def _deep(folder: Path) -> str:
    noted = {"huggingface": "[" * 100_000}
    table = pa.table({"image": _structs(6), "label": [0, 1] * 3})
    parquet.write_table(table.replace_schema_metadata(noted), folder / "t.parquet")
    return READ


def _two_with_one_name(folder: Path) -> str:
    data = [pa.array(_structs(6)), pa.array([0, 1] * 3), pa.array([1, 0] * 3)]
    table = pa.Table.from_arrays(data, names=["image", "label", "label"])
    parquet.write_table(table, folder / "t.parquet")
    return "several columns with one name"


ODD: Mapping[str, Table] = {
    "labels of text": _labels(READ, ["a", "b"] * 3),
    "labels of truth": _labels(READ, [True, False] * 3),
    "labels of both signs": _labels(READ, [-5, 2**62] * 3),
    "numbers beyond 63 bits": _labels("too large", pa.array([1, 2**64 - 1] * 3, pa.uint64())),
    "labels that are shares": _labels("does not hold classes", [0.5, float("nan")] * 3),
    "labels that are lists": _labels("does not hold classes", [[1], [2]] * 3),
    "labels that are dates": _labels("does not hold classes", pa.array([1, 2] * 3, pa.date32())),
    "labels in a struct": _labels("does not hold classes", [{"a": 1}, {"a": 2}] * 3),
    "no label at all": _labels("are missing", pa.array([None] * 6, pa.int64())),
    "some labels missing": _labels("2 of 6 labels", [0, 1, None] * 2),
    "labels that are no UTF-8": _text,
    "a dictionary of labels": _labels(READ, pa.array(["a", "b"] * 3).dictionary_encode()),
    "one class": _labels("has only one class", [3] * 6),
    "one image a class": _labels(READ, [0, 1, 2, 3]),
    "1 of 1000": _labels(READ, [0] * 1000 + [1]),
    "a label without a name": _named("have no class name", [0, 1, 7], ["a", "b"]),
    "two classes with one name": _named("have one name", [0, 1, 1], ["a", "a"]),
    "names that are no list": _named("", [0, 1, 1], 7),
    "metadata that nest": _deep,
    "two columns with one name": _two_with_one_name,
    "no image column": _columns("no image column", label=[0, 1]),
    "no label column": _columns("no column that is known", image=_structs(3)),
    "images that are numbers": _columns("no image column", image=[1, 2], label=[0, 1]),
    "bytes that are text": _columns(NO_IMAGES, image=[{"bytes": "x"}] * 4, label=[0, 1] * 2),
    "paths that are numbers": _columns(NO_IMAGES, image=[{"path": 3}] * 4, label=[0, 1] * 2),
    "images that are missing": _columns(
        "can be read", image=pa.array([None] * 4, pa.binary()), label=[0, 1] * 2
    ),
    "images without a byte": _columns("can be read", image=[b""] * 4, label=[0, 1] * 2),
    "paths that lead out": _columns(
        "can be read", image=[{"path": p} for p in ("../x", "/etc/passwd", "a\0b", ".")],
        label=[0, 1] * 2,
    ),
    "no rows": _columns(
        "has no rows", image=pa.array([], pa.binary()), label=pa.array([], pa.int64())
    ),
    "no bytes": _file("not a readable Parquet file", "t.parquet", b""),
    "half a file": _file("not a readable Parquet file", "t.parquet", b"PAR1" + bytes(99)),
    "a lying footer": _file(
        "not a readable Parquet file", "t.parquet", b"PAR1" + bytes(99) + b"\xff\xff\xff\x7fPAR1"
    ),
    "a folder called Parquet": _folder_as_file,
    "a name that claims shards": _shards,
    "a picture with two labels": _copies,
    "one folder": _folders("has only one class", cat=5),
    "one image a folder": _folders(READ, cat=1, dog=1),
    "a class in validation only": _folders(
        "classes that train does not: cow", train_cat=3, train_dog=3, val_cat=2, val_cow=2
    ),
    "folders of 1 and 300": _folders(READ, cat=1, dog=300),
}  # fmt: skip

CAMPAIGNS = (
    Campaign(
        4, "broken-tables", "a broken table or split is told in words, or read",
        100, 2000, try_tables,
    ),
)  # fmt: skip
