"""What the scripts beside it share: write pages, or say whether they are current."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(pages: Mapping[Path, str]) -> int:
    """Write pages; with `--check` write nothing, and give 1 where one is out of date."""
    if sys.argv[1:] == ["--check"]:
        return int(any(path.read_text() != text for path, text in pages.items()))
    for path, text in pages.items():
        path.write_text(text)
        print(path)
    return 0
