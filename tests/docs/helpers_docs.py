"""Pages of the docs, taken apart: code blocks, commands, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).parents[2]
DOCS = REPO / "docs"
PAGES = [
    *(REPO / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(DOCS.rglob("*.md")),
]
FENCE = re.compile(
    r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)", re.M | re.S
)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S[^\n]*\n(?:\n(?= {4}))?| {5,}\S[^\n]*\n)+")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
LINK = re.compile(r"\]\(\s*([^)\s]+)\s*\)|<(?:img|a)[^>]*?\b(?:src|href)=\"([^\"]+)\"")
OUTPUTS = ("python", "yaml", "json")  # fences in which no command stands


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, as `page:line`, its language and its text."""

    where: str
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command as a reader would copy it; of the console blocks also what is printed below it."""

    where: str
    text: str
    printed: str = ""

    @property
    def words(self) -> list[str]:
        """Split as a shell would; without what follows a `#`."""
        return shlex.split(self.text.replace("\\\n", " "), comments=True)


def name_of(page: Path) -> str:
    """The page's path within the repository."""
    return page.relative_to(REPO).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page."""
    text = page.read_text()
    for match in FENCE.finditer(text):
        line = text[: match.start()].count("\n") + 1
        yield Block(f"{name_of(page)}:{line}", match["language"], match["text"])


def commands(page: Path) -> Iterator[Command]:
    """All commands of a page: indented ones, and in fences those after a `$`."""
    yield from console(page)
    text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text())
    for match in INDENTED.finditer(text):
        first = text[: match.start()].count("\n") + 1
        lines = [line[4:] for line in match[0].splitlines()]
        for number, told in _joined(lines):
            yield Command(f"{name_of(page)}:{first + number}", told.removeprefix("$ "))


def console(page: Path) -> Iterator[Command]:
    """The commands of the fenced blocks, with what they print."""
    for block in blocks(page):
        if block.language in OUTPUTS:
            continue
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            (_, told), *_ = _joined(part.splitlines())
            printed = "\n".join(part.splitlines()[told.count("\n") + 1 :])
            yield Command(block.where, told, printed)


def _joined(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Commands of one line or of several that end in a backslash, with their line's number."""
    begun = ""
    first = 0
    for number, line in enumerate(lines):
        first = first if begun else number
        begun += line if not begun else "\n" + line
        if not line.endswith("\\"):
            if begun.strip():
                yield first, begun
            begun = ""


def links(page: Path) -> Iterator[str]:
    """Targets of links and pictures, without those to other sites."""
    text = FENCE.sub("", page.read_text())
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """What a link to a heading of the page may say after its `#`."""
    text = FENCE.sub("", page.read_text())
    return {_slug(title) for title in HEADING.findall(text)}


def _slug(title: str) -> str:
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
    kept = re.sub(r"[^\w\s-]", "", plain).strip().lower()
    return re.sub(r"[-\s]+", "-", kept)
