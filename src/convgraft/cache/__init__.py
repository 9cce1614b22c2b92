"""The frozen part runs once: what it computes of images lies in a store on disk."""

from convgraft.cache.entry import DamagedRows, Entry
from convgraft.cache.folder import Cache
from convgraft.cache.listing import EntryInfo
from convgraft.cache.place import default_cache
from convgraft.cache.precision import DTYPES, RowType

__all__ = ["DTYPES", "Cache", "DamagedRows", "Entry", "EntryInfo", "RowType", "default_cache"]
