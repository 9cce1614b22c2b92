"""One Parquet file, opened: its footer is read, its rows are not.

Of a file at a URL whose server gives parts, the footer and what is asked for are all that is
fetched, as long as there is no copy of it here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from convgraft.data.each_file import Progress, Told, each_file
from convgraft.data.near import Near
from convgraft.data.urls import tried
from convgraft.errors import DataError

if TYPE_CHECKING:
    from pyarrow import Schema

    from convgraft.data.remote import RemoteFile

Item = TypeVar("Item")
Found = TypeVar("Found")
ASKED = 8  # servers' answers that are waited for at the same time


@dataclass(frozen=True, eq=False)
class ParquetFile:
    """One file whose footer has been read; `metadata` is pyarrow's, for reading it again."""

    near: Near
    schema: Schema
    metadata: Any

    @property
    def path(self) -> Path:
        """Where it lies, or where its copy does; `near.here()` sees to it that it is there."""
        return self.near.path


def open_file(near: Near) -> ParquetFile:
    """Read a file's footer.

    Raises:
        DataError: pyarrow is missing, or the file is damaged.
        RunError: it lies elsewhere and cannot be had.
    """
    path = near.path
    try:
        import pyarrow as pa
    except ImportError as error:
        raise DataError(
            "Parquet needs pyarrow, which is not installed", hint="pip install pyarrow"
        ) from error
    try:
        opened = read_file(near, lambda file: ParquetFile(near, file.schema_arrow, file.metadata))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file",
            found=first_line(error),
            hint="download it again; it may be cut short",
        ) from error
    _check_names(path, opened.schema.names)
    return opened


def each_parquet(
    items: Sequence[Item],
    nears: Sequence[Near],
    work: Callable[[Item], Found],
    what: str,
    on_progress: Progress | None = None,
) -> list[Found]:
    """What `work` makes of every item; of files that lie elsewhere, several at a time.

    Args:
        items: something of every file.
        nears: the files.
        work: what is done.
        what: the same in words.
        on_progress: called with (what, files done, files) where they lie elsewhere.
    """
    if not any(near.remote for near in nears):
        return [work(item) for item in items]
    told = Told(what, {near.name: None for near in nears}, on_progress)

    def told_of(pair: tuple[Near, Item]) -> Found:
        found = work(pair[1])
        told.finished(pair[0].name)
        return found

    return each_file(list(zip(nears, items, strict=True)), told_of, told, threads=ASKED)


def read_file(near: Near, read: Callable[[Any], Found], metadata: Any = None) -> Found:
    """What `read` makes of a file that pyarrow has opened.

    Args:
        near: the file.
        metadata: its footer, where that was read before.

    Raises what pyarrow does; RunError where it lies elsewhere and cannot be had.
    """
    from pyarrow import parquet

    remote = near.remote
    if remote is not None and remote.in_parts and not remote.is_here:
        found = _in_parts(remote, read, metadata)
        if found:
            return found[0]
    with parquet.ParquetFile(near.here(), metadata=metadata) as file:
        return read(file)


def _in_parts(
    remote: RemoteFile, read: Callable[[Any], Found], metadata: Any
) -> tuple[Found] | None:
    """The same by parts of the file; None where its server does not give them."""
    import pyarrow as pa
    from pyarrow import parquet

    damaged: list[Exception] = []

    def ask() -> tuple[Found] | None:
        with remote.parts() as source:
            try:
                with parquet.ParquetFile(source, metadata=metadata) as file:
                    return (read(file),)
            except pa.ArrowException as error:  # it is no matter of the network
                damaged.append(error)
            except ValueError:
                pass
        return None

    found = tried(remote.url, ask)
    if damaged:
        raise damaged[0]
    return found


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{path} has several columns with one name",
            expected="columns that can be told apart",
            found=", ".join(twice[:5]),
        )


def first_line(error: Exception) -> str:
    """What an error says first; its type where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
