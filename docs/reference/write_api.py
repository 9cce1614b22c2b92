"""Writes `api.md` and `packages.md` beside it: which public names the reference shows.

python docs/reference/write_api.py            write the pages
python docs/reference/write_api.py --check    write nothing; exit 1 where one would change

The pages name what is shown; mkdocstrings fills in signatures and docstrings as the site is built.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pages import write_or_check

import convgraft

API = Path(__file__).with_name("api.md")
PACKAGES = Path(__file__).with_name("packages.md")
API_START = """# Python

What `import convgraft` gives. Nothing is imported before it is used. `convgraft.compile` is called
`compile_plan` where it lives, and `convgraft.source` is `open_network`: a run is a source too.
"""
PACKAGES_START = """# Packages

What each package shows the others, beside the names that [`convgraft`](api.md) itself has. What is
on neither page is no promise: it may change in any version.
"""
RENAMED = {"compile": "compile_plan", "source": "open_network"}


def api() -> str:
    """The page of the names of `convgraft` itself, package by package."""
    parts = [API_START]
    for home in convgraft._HOMES:
        parts += [f"## From {home}", "", *_block(f"convgraft.{home}", sorted(shown_first(home)))]
    return "\n".join(parts)


def packages() -> str:
    """The page of every package's `__all__`."""
    parts = [PACKAGES_START]
    for name in sorted(one.name for one in pkgutil.iter_modules(convgraft.__path__) if one.ispkg):
        module = importlib.import_module(f"convgraft.{name}")
        names = [one for one in getattr(module, "__all__", ()) if one not in shown_first(name)]
        if names:
            parts += [f"## convgraft.{name}", "", *_block(f"convgraft.{name}", names)]
    return "\n".join(parts)


def shown_first(package: str) -> set[str]:
    """The names of a package that the page of `convgraft` itself has."""
    return {RENAMED.get(name, name) for name in convgraft._HOMES.get(package, ())}


def _block(module: str, names: Sequence[str]) -> Iterator[str]:
    yield f"::: {module}"
    yield "    options:"
    yield "      show_root_toc_entry: false"
    yield f"      members: [{', '.join(names)}]"
    yield ""


if __name__ == "__main__":
    raise SystemExit(write_or_check({API: api(), PACKAGES: packages()}))
