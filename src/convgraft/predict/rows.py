"""What a row says of a file, the same in every format; `docs/predict.md` has it in a table."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convgraft.predict.pipeline import Answers

FILE, LABEL, PROBABILITY, ERROR = "file", "label", "probability", "error"
Column = Sequence[str | None] | NDArray[np.float32]


@dataclass(frozen=True)
class RowForm:
    """What a row says.

    Attributes:
        labels: class names, in the order of the probabilities.
        top: how many of the most probable classes are named.
        probabilities: whether the probability of every class is told too.
    """

    labels: tuple[str, ...]
    top: int = 3
    probabilities: bool = False

    def best(self, answers: Answers) -> NDArray[np.intp]:
        """Indices of the most probable classes, the first one first, [N, top]."""
        order = np.argsort(-answers.probabilities, axis=1, kind="stable")
        return order[:, : min(self.top, len(self.labels))]


def shown(name: str) -> str:
    """A file's name as text that every format can hold: bytes that are no UTF-8 as `\\xNN`.

    >>> shown("caf\\udce9.png")
    'caf\\\\xe9.png'
    """
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def columns(answers: Answers, form: RowForm) -> dict[str, Column]:
    """The rows as columns by name: texts, None where there is none, and float32 [N].

    A probability that there is none of is not a number.
    """
    labels = np.array([*form.labels, None], dtype=object)
    best = form.best(answers)
    chances = np.take_along_axis(answers.probabilities, best, axis=1)
    best[[error is not None for error in answers.errors]] = len(form.labels)  # no label
    made: dict[str, Column] = {FILE: [shown(name) for name in answers.files]}
    for rank in range(best.shape[1]):
        ending = f"_{rank + 1}" if rank else ""
        made[LABEL + ending] = labels[best[:, rank]].tolist()
        made[PROBABILITY + ending] = chances[:, rank]
    if form.probabilities:
        for index, label in enumerate(form.labels):
            made[f"p:{label}"] = answers.probabilities[:, index]
    return {**made, ERROR: list(answers.errors)}


def records(answers: Answers, form: RowForm) -> Iterator[dict[str, Any]]:
    """The rows as they stand in JSON."""
    for file, error, chances, best in zip(
        answers.files, answers.errors, answers.probabilities, form.best(answers), strict=True
    ):
        if error is not None:
            yield {FILE: shown(file), ERROR: error}
            continue
        classes = [{LABEL: form.labels[i], PROBABILITY: short(chances[i])} for i in best]
        row = {FILE: shown(file), **classes[0], "classes": classes}
        if form.probabilities:
            told = zip(form.labels, chances, strict=True)
            row["probabilities"] = {label: short(chance) for label, chance in told}
        yield row


def short(chance: np.float32) -> float | None:
    """A probability with six digits that count; None for what is not a number.

    >>> short(np.float32(1) / 3)
    0.333333
    """
    return float(f"{chance:.6g}") if math.isfinite(chance) else None
