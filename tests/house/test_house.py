"""The house stays easy to walk: short functions, nothing twice, all that is public explained."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import convgraft

SOURCE = Path(convgraft.__file__).parent
LONGEST = 60  # lines of a function
SAME = 6  # lines of logic that no two places share
PACKAGES = tuple(
    sorted(path.parent.name for path in SOURCE.glob("*/__init__.py") if path.parent.name != "cli")
)


def modules() -> Iterator[tuple[str, ast.Module, list[str]]]:
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        yield str(path.relative_to(SOURCE)), ast.parse(text), text.splitlines()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Of what a function does; its signature (an option of a command is a parameter) left out."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_function_is_long() -> None:
    long = [
        f"{name}: {one.name} has {body_lines(one)} lines"
        for name, tree, _ in modules()
        for one in functions(tree)
        if body_lines(one) > LONGEST
    ]
    assert long == []


def logic(tree: ast.Module, lines: list[str]) -> list[tuple[int, str]]:
    """Number and text of lines that do something: no imports, signatures, texts or brackets."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            left_out |= set(range(node.lineno, node.body[0].lineno))
    told = ((number, line.strip()) for number, line in enumerate(lines, 1))
    return [
        (number, line)
        for number, line in told
        if number not in left_out and not line.startswith("#") and any(map(str.isalnum, line))
    ]


def test_no_two_places_share_six_lines_of_logic() -> None:
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, tree, lines in modules():
        own = logic(tree, lines)
        for start in range(len(own) - SAME + 1):
            window = own[start : start + SAME]
            places[tuple(line for _, line in window)].append(f"{name}:{window[0][0]}")
    twice = {found[0]: found[1:] for found in places.values() if len(found) > 1}
    assert twice == {}


def public() -> list[tuple[str, str]]:
    """(module, name) of everything that an `__all__` names."""
    named = [("convgraft", name) for name in convgraft.__all__]
    for package in PACKAGES:
        home = f"convgraft.{package}"
        named += [(home, name) for name in getattr(importlib.import_module(home), "__all__", ())]
    return named


@pytest.mark.parametrize(("home", "name"), public())
def test_what_is_public_is_typed_and_explained(home: str, name: str) -> None:
    one = getattr(importlib.import_module(home), name)
    if inspect.isclass(one):
        assert own_docstring(one), f"{name} has no docstring"
        for method, value in public_methods(one):
            assert own_docstring(value), f"{name}.{method} has no docstring"
            assert untyped(value) == [], f"{name}.{method}"
    elif inspect.isfunction(one):
        assert own_docstring(one), f"{name} has no docstring"
        assert untyped(one) == []


def own_docstring(one: Any) -> str:
    return (getattr(one, "__doc__", None) or "").strip()


def public_methods(one: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(one).items():
        plain = value.fget if isinstance(value, property) else value
        plain = getattr(plain, "__func__", plain)  # of class methods and static methods
        is_field = name in getattr(one, "__dataclass_fields__", {})
        if not name.startswith("_") and inspect.isfunction(plain) and not is_field:
            yield name, plain


def untyped(function: Any) -> list[str]:
    """Parameters without a type, and `return`."""
    signature = inspect.signature(function)
    bare = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is inspect.Parameter.empty and name not in ("self", "cls")
    ]
    return [*bare, *(["return"] if signature.return_annotation is inspect.Signature.empty else [])]
