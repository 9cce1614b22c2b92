"""What mkdocs does beyond its settings: pages of the repository's root are pages of the site too.

Named in `mkdocs.yml`. The files stay where they are; links to them are turned as the site is built.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
BROUGHT = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/run_onnx.py")
LEAVING = re.compile(r"\]\((?:\.\./)+(" + "|".join(map(re.escape, BROUGHT)) + r")(#[^)]*)?\)")
INTO_DOCS = re.compile(r"\]\(docs/")
INDEX = re.compile(
    r'<autoref [^>]*?identifier="(\w+)"[^>]*>(.*?)</autoref>'
)  # no dot: no name of ours
PICTURE = re.compile(r'<img [^>]*?src="([^":]+\.(?:svg|png))"[^>]*>')


def on_files(files: Files, *, config: Any) -> Files:
    """Bring the files of the root, beside the pages of `docs`."""
    for name in BROUGHT:
        if (ROOT / name).is_file():
            files.append(File.generated(config, name, content=(ROOT / name).read_bytes()))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn links between `docs` and the root into links within the site."""
    if page.file.src_uri in BROUGHT:
        return INTO_DOCS.sub("](", markdown)
    up = "../" * page.file.src_uri.count("/")
    return LEAVING.sub(lambda link: f"]({up}{link[1]}{link[2] or ''})", markdown)


def on_page_content(html: str, *, page: Any, config: Any, files: Files) -> str:
    """Repair two things of a page.

    `[rows][columns]` in a docstring is two indices, and not Markdown for a reference. A picture
    leads to itself, for screens on which its words are too small.
    """
    linked = PICTURE.sub(r'<a class="picture" href="\1">\g<0></a>', html)
    return INDEX.sub(r"[\2][\1]", linked)
