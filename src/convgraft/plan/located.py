"""YAML whose every value knows its line and column, so that an error can say where.

All problems are collected and reported together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import yaml

from convgraft.errors import PlanError, Problem, near_miss
from convgraft.plan.plain_yaml import MAX_PROBLEMS, read_yaml
from convgraft.plan.shown import shown

__all__ = ["Located", "is_null", "read_yaml", "write_yaml"]

Value = TypeVar("Value")
_FOLDED = re.compile("[\x85\u2028\u2029]")  # breaks that YAML would fold, unless they are escaped


class Located:
    """Reads values out of nodes and collects what is wrong with them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []

    def where(self, node: yaml.Node) -> str:
        """`file:line:column` of a node."""
        return f"{self.name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def complain(self, node: yaml.Node, what: str, **details: str | None) -> None:
        """Note a problem at a node; raises PlanError where there are too many of them."""
        told = {key: shown(text) if text else text for key, text in details.items()}
        self.problems.append(Problem(self.where(node), shown(what), **told))
        if len(self.problems) >= MAX_PROBLEMS:
            self.finish()

    def fields(
        self, node: yaml.Node, known: Sequence[str], required: Sequence[str] = ()
    ) -> dict[str, yaml.Node]:
        """The entries of a mapping; unknown, double and missing keys are problems."""
        entries = self.entries(node)
        for key, (key_node, _) in entries.items():
            if key not in known:
                self.complain(
                    key_node,
                    f'"{shown(key)}" is not known here',
                    expected=", ".join(known),
                    hint=near_miss(shown(key), known),
                )
        for key in required:
            if key not in entries or is_null(entries[key][1]):
                self.complain(node, f'"{key}" is missing', found=", ".join(entries) or "nothing")
        return {key: value for key, (_, value) in entries.items() if key in known}

    def entries(self, node: yaml.Node) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key to (key node, value node) of a mapping, in order."""
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, "a mapping (key: value) is expected here", found=_kind(node))
            return {}
        entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if not key:
                self.complain(key_node, "a key must be a word")
            elif key in entries:
                self.complain(key_node, f'"{shown(key)}" stands here twice')
            else:
                entries[key] = (key_node, value)
        return entries

    def items(self, node: yaml.Node) -> list[yaml.Node]:
        """The items of a list; a single value counts as a list of one."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if isinstance(node, yaml.ScalarNode):
            return [node]
        self.complain(node, "a list is expected here", found=_kind(node))
        return []

    def scalar(
        self, node: yaml.Node | None, read: Callable[[str], Value], expected: str, default: Value
    ) -> Value:
        """A single value read by `read`, which raises ValueError for what it cannot read."""
        if node is None:
            return default
        if not isinstance(node, yaml.ScalarNode):
            self.complain(node, f"{expected} is expected here", found=_kind(node))
            return default
        if is_null(node):
            return default
        try:
            return read(node.value)
        except ValueError:
            self.complain(node, f"{expected} is expected here", found=f'"{node.value}"')
            return default

    def numbers(
        self, node: yaml.Node | None, read: Callable[[str], Value], expected: str
    ) -> tuple[Value, ...]:
        """A list of values; values that cannot be read are left out and complained about."""
        if node is None or is_null(node):
            return ()
        for item in self.items(node):
            if is_null(item):
                self.complain(item, f"{expected} is expected here", found="nothing")
        values = [self.scalar(item, read, expected, None) for item in self.items(node)]  # type: ignore[type-var]
        return tuple(value for value in values if value is not None)

    def finish(self) -> None:
        """Raise PlanError if anything was wrong."""
        if self.problems:
            raise PlanError(self.problems, name=self.name)


def is_null(node: yaml.Node) -> bool:
    """Whether nothing stands here."""
    return node.tag == "tag:yaml.org,2002:null"


def _kind(node: yaml.Node) -> str:
    kinds: Mapping[type, str] = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}
    return kinds.get(type(node), f'"{node.value}"')


def write_yaml(data: Any) -> str:
    """Plain data as YAML, in the order given, lists of scalars on one line."""

    class Dumper(yaml.SafeDumper):
        """Writes short lists inline and repeats equal values instead of naming them."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, given: str) -> yaml.Node:
        style = '"' if _FOLDED.search(given) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", given, style=style)

    def sequence(dumper: yaml.SafeDumper, items: Sequence[Any]) -> yaml.Node:
        flat = not any(isinstance(item, (dict, list, tuple)) for item in items)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)

    Dumper.add_representer(str, text)
    Dumper.add_representer(list, sequence)
    Dumper.add_representer(tuple, sequence)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
