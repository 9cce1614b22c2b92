"""`convgraft cache list|clear|verify`: the stored values of frozen networks."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convgraft.cli.console import print_json, print_table, progress, say

if TYPE_CHECKING:
    from convgraft.cache import Cache, EntryInfo

SHOWN_KEY = 12
MIB = 2**20
SPANS = (("day", 86400), ("hour", 3600), ("minute", 60))

app = typer.Typer(
    help="List, check or delete stored values of frozen networks.", no_args_is_help=True
)


@app.command("list")
def list_entries(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what is stored, the last used first.

    Example: convgraft cache list
    """
    from convgraft.cache import default_cache

    cache = default_cache(writing=False)
    infos = cache.entries()
    if json:
        print_json(_as_dict(cache, infos))
        return
    total = sum(info.bytes for info in infos)
    title = f"{_mib(total)} of {_mib(cache.limit)} MiB in {cache.folder}"
    header = ("key", "what it is", "images", "stored as", "MiB", "last used")
    print_table(title, header, [_cells(info) for info in infos])


@app.command()
def clear(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY...]", help="As listed; all by default.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete stored values; they are computed anew when they are needed.

    What a running fit is writing stays, and what one has open it goes on reading.

    Example: convgraft cache clear 3f2a --yes
    """
    from convgraft.cache import default_cache

    cache = default_cache()
    chosen = _chosen(cache.entries(), keys or ())
    if not chosen:
        say(f"nothing is stored in {cache.folder}")
        return
    if not yes and not _confirmed(chosen):
        say("nothing is deleted")
        raise typer.Exit(1)
    freed = cache.clear([info.key for info in chosen])
    say(f"{_mib(freed)} MiB freed in {cache.folder}")
    left = {info.key for info in cache.entries()} & {info.key for info in chosen}
    for key in sorted(left):
        say(f"in use, and left as it is: {key[:SHOWN_KEY]}")


@app.command()
def verify() -> None:
    """Check all that is stored against its checksums, and forget what is damaged.

    What is forgotten is computed anew when it is needed.

    Example: convgraft cache verify
    """
    from convgraft.cache import default_cache

    cache = default_cache()
    infos = cache.entries()
    told: list[str] = []
    with progress() as report:
        for number, info in enumerate(infos, 1):
            told += _verify(cache, info)
            report("verify", number, len(infos))
    for line in told:
        say(line)
    say(f"{len(infos)} checked, {len(told)} damaged, in {cache.folder}")


def _verify(cache: Cache, info: EntryInfo) -> list[str]:
    """What is wrong with an entry, in at most one line."""
    from convgraft.cache import Entry, RowType

    name = f"damaged: {info.key[:SHOWN_KEY]} {_what(info)}".rstrip()
    if not info.dtype:
        # its first chunk may be on the way: then it is not deleted
        return [f"{name}: no index; deleted"] if cache.clear([info.key]) else []
    row = RowType(info.shape, info.dtype)
    forgotten = Entry(info.key, cache.folder / info.key, row, info.facts).verify()
    return [f"{name}: {forgotten} of {info.rows} images forgotten"] if forgotten else []


def _chosen(infos: Sequence[EntryInfo], prefixes: Sequence[str]) -> list[EntryInfo]:
    """The entries that the prefixes name, all by default; raises UsageError."""
    from convgraft.errors import UsageError, near_miss

    if not prefixes:
        return list(infos)
    chosen: dict[str, EntryInfo] = {}
    for prefix in prefixes:
        found = [info for info in infos if info.key.startswith(prefix)]
        if len(found) > 1 and not any(info.key == prefix for info in found):
            keys = sorted(info.key[: max(SHOWN_KEY, len(prefix) + 4)] for info in found)
            what = f'"{prefix}" begins {len(found)} keys'
            raise UsageError(what, found=", ".join(keys[:5]), hint="more of it")
        if not found:
            near = near_miss(prefix, [info.key[: max(4, len(prefix))] for info in infos])
            raise UsageError(
                f'nothing is stored under "{prefix}"', hint=near or "convgraft cache list"
            )
        exact = next((info for info in found if info.key == prefix), found[0])
        chosen[exact.key] = exact
    return list(chosen.values())


def _confirmed(chosen: Sequence[EntryInfo]) -> bool:
    from convgraft.errors import UsageError

    count = f"{len(chosen)} " + ("entry" if len(chosen) == 1 else "entries")
    size = _mib(sum(info.bytes for info in chosen))
    if not sys.stdin.isatty():
        raise UsageError(f"{count} of {size} MiB would be deleted", hint="--yes, to do so")
    return typer.confirm(f"Delete {count} of {size} MiB?", err=True)


def _as_dict(cache: Cache, infos: Sequence[EntryInfo]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "folder": str(cache.folder),
        "limit": cache.limit,
        "bytes": sum(info.bytes for info in infos),
        "entries": [asdict(info) for info in infos],
    }


def _cells(info: EntryInfo) -> list[str]:
    shape = "x".join(map(str, info.shape))
    return [
        info.key[:SHOWN_KEY],
        _what(info) if info.dtype else "unfinished or damaged",
        f"{info.rows:,}",
        f"{info.dtype} {shape}".strip(),
        _mib(info.bytes),
        _ago(time.time() - info.used),
    ]


def _what(info: EntryInfo) -> str:
    if "what" in info.facts:
        return str(info.facts["what"])
    return ", ".join(f"{name}: {value}" for name, value in info.facts.items())


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f}"


def _ago(seconds: float) -> str:
    for name, span in SPANS:
        count = int(seconds // span)
        if count >= 1:
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"
