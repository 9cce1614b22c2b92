"""What the small files of an artifact say, or an ArtifactError that names the file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from convgraft.compose import Composite
from convgraft.errors import ArtifactError
from convgraft.plan.shown import shown

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HALF_LETTER = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Labels:
    """Class names of the main label column, in label order, and of others by column."""

    classes: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_object(file: Path) -> dict[str, Any]:
    """A JSON object; raises ArtifactError for anything else."""
    try:
        text = file.read_text(encoding="utf-8")
        data = json.loads(text)
        if _HALF_LETTER.search(text):  # it may be half of a letter, which nothing can write
            json.dumps(data, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f'"{file}" cannot be read', found=str(error), hint="a whole copy of the run"
        ) from error
    if not isinstance(data, dict):
        raise ArtifactError(
            f'"{file}" cannot be read', expected="a JSON object", hint="a whole copy of the run"
        )
    return data


def read_labels(file: Path) -> Labels:
    """`labels.json`; raises ArtifactError where it does not hold names, each once."""
    told = read_object(file)
    classes, columns = told.get("classes", []), told.get("columns", {})
    others = columns.values() if isinstance(columns, dict) else (None,)
    if not (are_texts(classes) and all(map(are_texts, others))):
        raise ArtifactError(
            f'"{file}" holds no labels',
            expected='{"classes": ["NAME", ...]}',
            hint="a whole copy of the run",
        )
    for names in (classes, *others):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ArtifactError(
                f'"{file}" has the class "{shown(twice[0])}" twice', expected="every name once"
            )
    return Labels(plain_names(classes), {name: plain_names(columns[name]) for name in columns})


def plain_names(names: Iterable[str]) -> tuple[str, ...]:
    r"""Class names as any terminal can show them: control characters come as escapes.

    >>> plain_names(["a\x1b[2J", "b"])
    ('a\\x1b[2J', 'b')
    """
    return tuple(_CONTROL.sub(lambda match: ascii(match[0])[1:-1], name) for name in names)


def check_labels(labels: Labels, composite: Composite, file: Path) -> None:
    """Raise ArtifactError where a network answers about another number of classes."""
    plan = composite.plan
    answered = {plan.column(name): name for name in plan.answers}
    if unknown := [column for column in labels.columns if column not in answered]:
        raise ArtifactError(
            f'"{file}" has a label column that no answer is about: {shown(unknown[0])}',
            expected=", ".join(filter(None, answered)) or "no columns",
        )
    named = {column: (answered[column], names) for column, names in labels.columns.items()}
    named[""] = (plan.answer, labels.classes)
    for answer, names in named.values():
        if (wanted := _width(composite, answer)) != len(names):
            raise ArtifactError(
                f'"{file}" is not of this network: its answer "{answer}"',
                expected=f"{wanted} classes",
                found=str(len(names)),
                hint="the plan's last head is the main answer; those of other columns come before",
            )


def _width(composite: Composite, answer: str) -> int | None:
    """How many classes an answer tells apart."""
    for part in composite.resolved.heads:
        if part.head.name == answer:
            return part.head.classes or part.inputs[0][0]
    return composite.resolved.checked.sources[answer].classes


def read_notes(metadata: Mapping[str, str], file: Path) -> tuple[str, ...]:
    """The paths that are held in the network, as the weights' file notes them."""
    try:
        held, sources = (
            json.loads(metadata.get(k, d)) for k, d in (("held", "[]"), ("sources", "{}"))
        )
    except (ValueError, RecursionError):
        held, sources = None, None
    notes = sources.values() if isinstance(sources, dict) else (None,)
    if not (are_texts(held) and all(isinstance(note, dict) for note in notes)):
        raise ArtifactError(
            f'"{file}" has notes that convgraft did not write', hint="a whole copy of the run"
        )
    return tuple(held)


def are_texts(values: object) -> TypeGuard[list[str]]:
    """Whether something is a list of texts."""
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
