"""Text to YAML nodes: plain data alone, and nothing in it that a small file can blow up.

No tags, no Python objects, no aliases, no deep nesting. Whatever is wrong is told with its line and
column.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from yaml.reader import Reader

from convgraft.errors import PlanError, Problem, UsageError

MAX_BYTES = 1_000_000
MAX_DEPTH = 50  # a plan within a plan takes three
MAX_PROBLEMS = 100  # told at once; a file with more of them is no plan
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # what no name of a file or network can hold


def read_text(path: Path, called: str, kind: type[UsageError] = UsageError) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        called: how messages name it: `the plan "p.yaml"`.
        kind: what is raised where the file cannot be read, is too large, or is no UTF-8.
    """
    data = b""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise kind(f"{called} is too large", expected=f"<= {MAX_BYTES} bytes")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise kind(
            f"{called} cannot be read",
            expected="text in UTF-8",
            found=f"byte {data[error.start]:#04x} at line {line}, byte {column}",
        ) from error
    except (OSError, ValueError) as error:
        raise kind(f"{called} cannot be read", found=str(error)) from error


def is_file(path: Path) -> bool:
    """Whether there is an ordinary file; False also for what cannot be the name of one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_yaml(text: str, name: str) -> yaml.Node:
    """The document's root node; raises PlanError with line and column for text that is not YAML."""
    if len(text) > MAX_BYTES:
        raise PlanError(
            [Problem(name, "the file is too large for a plan", f"<= {MAX_BYTES} bytes")]
        )
    _refuse_odd_characters(text, name)
    loader = _PlainLoader(text, name)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        raise _wrong(name, mark, f"this is not YAML: {error.problem}") from error
    # Escapes beyond Unicode are none of YAML's own errors.
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise _wrong(name, loader.get_mark(), "this is not YAML", str(error)) from error
    finally:
        loader.dispose()
    if node is None:
        raise PlanError([Problem(f"{name}:1:1", "the file is empty")], name=name)
    return node


class _PlainLoader(yaml.SafeLoader):
    """Stops at the first event that plain data does not need.

    Aliases can blow a small file up, and deep nesting the stack.
    """

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self._called, self._depth = name, 0

    def get_event(self) -> yaml.Event:
        event = super().get_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise _wrong(self._called, mark, "aliases (*name) are not allowed here")
        if getattr(event, "tag", None) is not None:
            raise _wrong(self._called, mark, f"tags are not allowed here: {event.tag}")
        if isinstance(event, yaml.ScalarEvent) and NO_TEXT.search(event.value):
            raise _wrong(self._called, mark, "this is no text", found=ascii(event.value)[:100])
        if isinstance(event, yaml.CollectionStartEvent):
            self._depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
        if self._depth > MAX_DEPTH:
            raise _wrong(self._called, mark, "this is nested too deeply")
        return event


def _refuse_odd_characters(text: str, name: str) -> None:
    found = Reader.NON_PRINTABLE.search(text)
    if found is None:
        return
    place = found.start()
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    problem = Problem(
        f"{name}:{line}:{column}",
        "this is not YAML: a character that cannot be printed",
        found=f"U+{ord(found[0]):04X}",
    )
    raise PlanError([problem], name=name)


def _wrong(name: str, mark: yaml.Mark | None, what: str, found: str | None = None) -> PlanError:
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    return PlanError([Problem(where, what, found=found)], name=name)
