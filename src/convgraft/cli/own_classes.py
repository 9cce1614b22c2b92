"""Classes of runs whose own classifiers answer: the data's, in the data's order.

Logits have numbers and no names, so two networks that number their classes differently give
answers that look alike and mean different things.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from convgraft.cli.runs_as_models import run_folder
from convgraft.data import ImageSet
from convgraft.errors import ArtifactError, UsageError
from convgraft.export.artifact import LABELS
from convgraft.plan import Plan
from convgraft.plan.values import LEARNED_HEADS
from convgraft.sources import Source
from convgraft.strategies import Ingredients


def check_own_answers(plan: Plan, sources: Mapping[str, Source], images: ImageSet) -> None:
    """Whether runs whose own classifiers answer know the data's classes, in the data's order.

    Of other networks nobody knows what their classes are called. Raises UsageError.
    """
    for name, one in sources.items():
        labels = own_labels(one)
        columns = _answered(plan, name, one) if labels else ()
        for column in columns:
            other = images.others.get(column)
            classes = other.classes if other else images.classes
            check_same_classes(
                (images.location, classes),
                (one.spec, labels),
                hint="a run of a fit on this data, or a head of its own, e.g. --strategy probe",
            )


def _answered(plan: Plan, name: str, one: Source) -> list[str]:
    """The label columns of the answers that a source's own classifier gives."""
    if not plan.heads:
        return [""]
    logits = Ingredients({name: one}, plan.image_size, one.classes).logits(name)
    untaught = [head for head in plan.heads if head.kind not in (*LEARNED_HEADS, "tap")]
    return [head.column for head in untaught if logits in head.inputs]


def own_labels(one: Source) -> tuple[str, ...]:
    """The class names of a run that is used as it is; empty for other networks."""
    folder = run_folder(one)
    inner = one.pending.source if one.pending else None
    return read_labels(folder) if one.nested is not None and folder and not inner else ()


def read_labels(folder: Path) -> tuple[str, ...]:
    """The class names of a run, in label order; raises ArtifactError where they are not there."""
    try:
        return tuple(json.loads((folder / LABELS).read_text(encoding="utf-8"))["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f'"{folder / LABELS}" cannot be read', found=str(error)) from error


def check_same_classes(
    one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]], *, hint: str
) -> None:
    """Raise UsageError unless two of them, each a place and its class names, number them alike."""
    (first, labels), (second, theirs) = one, other
    if tuple(labels) == tuple(theirs):
        return
    same = set(labels) == set(theirs)
    raise UsageError(
        f"{first} and {second} have "
        + ("the same classes in another order" if same else "different classes"),
        expected=", ".join(labels[:10]),
        found=", ".join(theirs[:10]),
        hint=hint,
    )
