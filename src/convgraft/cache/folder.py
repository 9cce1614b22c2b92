"""A cache: a folder of entries, bounded in size; the least recently used ones go first."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convgraft.cache.descriptors import allow_many_files
from convgraft.cache.entry import Entry
from convgraft.cache.listing import EntryInfo, list_entries, mark_used, remove_entry, sweep
from convgraft.cache.lock import if_free
from convgraft.cache.precision import RowType

KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*")


@dataclass(frozen=True)
class Cache:
    """A folder of entries. Nothing is written, nor the folder made, before an entry is written to.

    Attributes:
        folder: where it lies.
        limit: bytes that all entries may take together.
        dtype: how values are stored, of `DTYPES`.
    """

    folder: Path
    limit: int
    dtype: str = "float32"

    def entry(self, key: str, row: RowType, facts: Mapping[str, Any]) -> Entry:
        """The entry of a key, opened or new; from now on it is the last used one.

        Args:
            key: letters, digits, - and _.
            row: shape and type of a row; where another type lies under the key, it is written anew.
            facts: what the values are, for people; JSON. `what` is shown by `convgraft cache list`.
        """
        if not KEY.fullmatch(key):
            raise ValueError(f'"{key}" is no key')
        allow_many_files()
        mark_used(self.folder / key)
        return Entry(key, self.folder / key, row, facts)

    def entries(self) -> tuple[EntryInfo, ...]:
        """What is there, the last used first. Foreign files are passed over."""
        return list_entries(self.folder)

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(info.bytes for info in self.entries())

    def make_room(self, needed: int, keep: Collection[str] = ()) -> bool:
        """Evict the least recently used entries until `needed` more bytes can be written.

        Entries in `keep`, and those that somebody is writing, stay. Says whether there is room,
        both within the limit and on the disk; where there cannot be, nothing is evicted.
        """
        sweep(self.folder)
        infos = self.entries()
        over = sum(info.bytes for info in infos) + needed - self.limit
        missing = max(over, needed - self._free_on_disk())
        idle = [info for info in infos if info.key not in keep and self._is_idle(info.key)]
        if missing > sum(info.bytes for info in idle):
            return False
        for info in reversed(idle):
            if missing <= 0:
                break
            if remove_entry(self.folder / info.key):
                missing -= info.bytes
        return missing <= 0

    def clear(self, keys: Collection[str] | None = None) -> int:
        """Delete these entries, or all; those that somebody is writing stay. The bytes freed."""
        sweep(self.folder)
        chosen = [info for info in self.entries() if keys is None or info.key in keys]
        return sum(info.bytes for info in chosen if remove_entry(self.folder / info.key))

    def _is_idle(self, key: str) -> bool:
        with if_free(self.folder / key) as free:
            return free

    def _free_on_disk(self) -> int:
        places = (self.folder, *self.folder.absolute().parents)
        return shutil.disk_usage(next(place for place in places if place.exists())).free
