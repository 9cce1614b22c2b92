"""Label maps: YAML files that derive further label columns from the classes of the main one.

    kind: {car: vehicle, airplane: vehicle, cat: animal}
    alive: {cat: yes, dog: yes, car: no}

Each key is a column, and below it stands a class of the main column with its class in the new one.
Images of classes that are not named have no label there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from convgraft.data.columns import MISSING, OWN_COLUMN, Column
from convgraft.data.imageset import ImageSet, frozen_labels
from convgraft.errors import DataError, near_miss
from convgraft.plan.located import Located, read_yaml
from convgraft.plan.plain_yaml import read_text

NULL = "tag:yaml.org,2002:null"
A_CLASS = "the name of a class is expected here"


def read_label_map(path: str | Path, images: ImageSet) -> tuple[Column, ...]:
    """The columns that the file derives from the main column of `images`, in the file's order.

    Classes are sorted. Every value is the text that stands there: `yes` is no truth value.

    Raises:
        DataError: the file cannot be read.
        PlanError: everything that is wrong in the file, each with its line and column.
    """
    path = Path(path).expanduser()
    text = read_text(path, f"the label map {path}", DataError)
    located = Located(path.name)
    root = read_yaml(text, path.name)
    entries = located.entries(root)
    if not entries and not located.problems:
        located.complain(root, "the label map has no column")
    columns = tuple(
        _column(located, images, name, key, value) for name, (key, value) in entries.items()
    )
    located.finish()
    return columns


def _column(
    located: Located, images: ImageSet, name: str, key: yaml.Node, value: yaml.Node
) -> Column:
    before = len(located.problems)
    _check_name(located, images, name, key)
    answers = _answers(located, images, value)
    classes = tuple(sorted(set(answers.values())))
    numbers = [classes.index(answers[c]) if c in answers else MISSING for c in images.classes]
    # An image without a main label points at the last number, as -1 does.
    labels = np.array([*numbers, MISSING])[images.labels]
    if len(located.problems) == before:
        _check_use(located, name, key, classes, not (labels == MISSING).all())
    return Column(name, classes, frozen_labels(labels))


def _check_name(located: Located, images: ImageSet, name: str, key: yaml.Node) -> None:
    taken = (images.target or OWN_COLUMN, *images.others)
    if name in taken:
        located.complain(
            key,
            f'the images have a label column "{name}" already',
            expected=f"another name than {', '.join(taken)}",
        )


def _answers(located: Located, images: ImageSet, value: yaml.Node) -> dict[str, str]:
    """Class of the main column to class of the new one; what cannot be used is left out."""
    answers: dict[str, str] = {}
    for name, (key, node) in located.entries(value).items():
        if name not in images.classes:
            located.complain(
                key,
                f'{images.location} has no class "{name}"',
                expected=_some(images.classes),
                hint=near_miss(name, images.classes),
            )
        elif not isinstance(node, yaml.ScalarNode):
            located.complain(node, A_CLASS, found="a list or a mapping")
        elif node.tag == NULL or not node.value:
            located.complain(node, A_CLASS, found="nothing", hint=f"leave {name} out")
        else:
            answers[name] = node.value
    return answers


def _check_use(
    located: Located, name: str, key: yaml.Node, classes: tuple[str, ...], labelled: bool
) -> None:
    if len(classes) < 2:
        located.complain(
            key, f'"{name}" needs two classes or more', found=", ".join(classes) or "none"
        )
    elif not labelled:
        located.complain(key, f'no image has a label in "{name}"')


def _some(classes: tuple[str, ...], most: int = 10) -> str:
    return ", ".join(classes[:most]) + (", ..." if len(classes) > most else "")
