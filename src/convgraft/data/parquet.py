"""Image sets in Parquet files, as the Hugging Face hub ships them or plainer.

Image column: a struct with `bytes` and `path`, or binary. Labels are read without the images.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from convgraft.data.each_file import Progress
from convgraft.data.imageset import (
    PART_NAMES,
    ImageSet,
    check_two_classes,
    fingerprint,
    with_columns,
)
from convgraft.data.layout import Layout
from convgraft.data.near import Near
from convgraft.data.parquet_file import ParquetFile, each_parquet, open_file
from convgraft.data.parquet_labels import check_columns, choose_target, read_column
from convgraft.data.parquet_rows import ParquetRows, row_groups
from convgraft.data.parquet_stamps import ParquetStamps, stamps_known
from convgraft.data.walk import visible
from convgraft.errors import DataError

if TYPE_CHECKING:
    from pyarrow import DataType, Schema

IMAGE_NAMES = ("image", "img")
# Types of what a struct holds an image by. The hub's own null columns are of images beside.
HELD = {
    "bytes": ("binary", "large_binary", "binary_view", "null"),
    "path": ("string", "large_string", "string_view", "null"),
}
SHOWN = 4  # missing shards that are named
SHARD = re.compile(r"(.+)-([0-9]+)-of-([0-9]{1,18})")


def parquet_files(location: str, path: Path) -> tuple[Path, ...]:
    """The `.parquet` files that `path` stands for, sorted; none if it is another kind of set.

    Raises:
        DataError: of shards named like `train-00000-of-00002.parquet` some are missing.
    """
    if path.is_file():
        return (path,) if path.suffix.lower() == ".parquet" else ()
    found = _below(path) or _below(path / "data")
    _check_shards(location, found)
    return found


def open_parquet(
    location: str,
    paths: Sequence[Path | Near],
    targets: Sequence[str] = (),
    *,
    gaps: bool = False,
    on_progress: Progress | None = None,
) -> ImageSet:
    """The rows of all files, one after the other, as one image set.

    Args:
        location: as the user typed it.
        paths: the files, here or elsewhere.
        targets: the label columns asked for, the main one first; none: the only possible one.
        gaps: whether labels may be missing.
        on_progress: called with (what, files read, files) where they lie elsewhere.

    Raises:
        DataError: a file is damaged or differs in its columns, the image or label column cannot
            be told, or a label is out of range or, without `gaps`, missing.
    """
    nears = [one if isinstance(one, Near) else Near(one.name, one) for one in paths]
    files = tuple(each_parquet(nears, nears, open_file, "read footers", on_progress))
    _check_same_columns(location, files)
    schema = files[0].schema
    image = image_column(location, schema)
    target = choose_target(location, files, image, targets[0] if targets else None)
    check_columns(location, files, image, targets[1:])
    main = read_column(location, files, target, gaps=gaps, on_progress=on_progress)
    _check_rows(files, len(main.labels))
    check_two_classes(location, main.classes)
    ids = tuple(f"{f.near.name}#{row}" for f in files for row in range(f.metadata.num_rows))
    sizes = [(file.near.name, file.near.size or _size_here(file)) for file in files]
    rows = ParquetRows(files, image)
    images = ImageSet(
        location=location,
        kind="parquet",
        target=target,
        classes=main.classes,
        ids=ids,
        labels=main.labels,
        parts=_parts(files),
        fingerprint=fingerprint("parquet", target, main.classes, ids, main.labels, sizes),
        source=rows,
        stamps=ParquetStamps(files, image) if stamps_known(files, image) else None,
        layout=Layout(rows.lengths, rows.fetch),
        streams=any(near.remote for near in nears),
    )
    others = [
        read_column(location, files, name, gaps=gaps, on_progress=on_progress)
        for name in targets[1:]
    ]
    for column in others:
        check_two_classes(f"{location}: the column {column.name}", column.classes)
    return with_columns(images, others)


def _size_here(file: ParquetFile) -> int:
    return file.near.here().stat().st_size


def _below(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(p for p in visible(folder) if p.suffix.lower() == ".parquet" and p.is_file())


def _check_shards(location: str, paths: Sequence[Path]) -> None:
    shards = [match for path in paths if (match := SHARD.fullmatch(path.stem))]
    groups = sorted({(match[1], match[3]) for match in shards})
    present = {match[0] for match in shards}
    missing = [name for stem, count in groups for name in _first_missing(stem, count, present)]
    if missing:
        claimed = sum(int(count) for _, count in groups)
        raise DataError(
            f"{location} lacks {max(claimed - len(present), len(missing))} of its Parquet files",
            expected=", ".join(f"{name}.parquet" for name in missing[:SHOWN]),
            hint="finish the download, or rename the files to use what is there",
        )


def _first_missing(stem: str, count: str, present: Collection[str]) -> list[str]:
    """Names of the first missing shards; a name may claim any number of them."""
    names = (f"{stem}-{number:0{len(count)}d}-of-{count}" for number in range(int(count)))
    return list(islice((name for name in names if name not in present), SHOWN))


def _check_same_columns(location: str, files: Sequence[ParquetFile]) -> None:
    first = files[0]
    for file in files[1:]:
        if not file.schema.equals(first.schema, check_metadata=False):
            raise DataError(
                f"{location}: {file.path.name} has other columns than {first.path.name}",
                expected=_columns(first.schema),
                found=_columns(file.schema),
            )
    if not sum(file.metadata.num_rows for file in files):
        raise DataError(f"{location} has no rows", found=f"{len(files)} Parquet file(s)")


def _check_rows(files: Sequence[ParquetFile], found: int) -> None:
    """Raise `DataError` where footers claim other numbers of rows than there are."""
    for file in files:
        told, groups = file.metadata.num_rows, row_groups([file])
        counted = sum(file.metadata.row_group(group.number).num_rows for group in groups)
        if told != counted:
            raise _lying(file, f"{told} rows", f"{counted} in its row groups")
    claimed = sum(file.metadata.num_rows for file in files)
    if claimed != found:
        raise _lying(files[0], f"{claimed} rows", f"{found} labels")


def _lying(file: ParquetFile, claimed: str, found: str) -> DataError:
    return DataError(
        f"{file.path} is a damaged Parquet file",
        expected=claimed,
        found=found,
        hint="download it again",
    )


def _columns(schema: Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def image_column(location: str, schema: Schema) -> str:
    """The column that holds images; raises `DataError` where there is none, or several may."""
    found = [field.name for field in schema if _holds_images(field.type)]
    known = [name for name in IMAGE_NAMES if name in found]
    if len(found) == 1 or known:
        return (known or found)[0]
    raise DataError(
        f"{location} has {'several possible image columns' if found else 'no image column'}",
        expected="a struct with bytes and path, or binary, named image or img",
        found=", ".join(found) or _columns(schema),
        hint="rename the column that holds the images to image" if found else None,
    )


def _holds_images(kind: DataType) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        held = {field.name: str(field.type) for field in kind}
        right = [held[name] in known for name, known in HELD.items() if name in held]
        return bool(right) and all(right)
    return str(kind) in HELD["bytes"]


def _parts(files: Sequence[ParquetFile]) -> tuple[str, ...] | None:
    said = [PART_NAMES.get(re.split(r"[-_.\d]", f.path.stem.lower())[0]) for f in files]
    if None in said or len(set(said)) < 2:
        return None
    return tuple(
        str(p) for p, f in zip(said, files, strict=True) for _ in range(f.metadata.num_rows)
    )
