"""Studies as YAML files, with errors that name line and column.

    study: skips
    question: do wires help these two networks?
    data: pictures/
    models: {a: cifar_resnet20@a.safetensors, b: cifar_resnet20@b.safetensors}
    arms:
      - cross-skip
      - cross-skip:start=one
      - {strategy: stitch, name: cut, loss: final, at: layer2}
    image_size: 32
    limits: [100, all]
    seeds: 3
    epochs: {100: 20, all: 6}
    training: {lr: 0.001, augment: light}

Only `arms` has to be there; all else has a default, or is for the command line to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convgraft.errors import UsageError
from convgraft.plan.located import read_yaml
from convgraft.plan.plain_yaml import read_text
from convgraft.studies.design import Design
from convgraft.studies.study import COMPARED
from convgraft.studies.study_reader import StudyReader
from convgraft.training import FitOptions
from convgraft.training.options import AUTO

EPOCHS = 10
QUESTION = "which way of combining is the best one here?"


@dataclass(frozen=True)
class StudyFile:
    """A study as somebody wrote it, before anything is opened.

    Attributes:
        name, question: for the report's title.
        data: where the images are; empty: somebody else says it.
        models: specs by the names that plans and arms call the networks.
        arms: what is compared.
        baselines: of `KNOWN_BASELINES`; by default all but `own`, each where it applies.
        image_size: side in pixels; None: the networks' own.
        target: label columns; empty: the data's main one.
        limits: numbers of training images, None for all.
        seeds: which ones; in the file also how many, from 0.
        epochs: by limit.
        options: fields of `FitOptions`; `augment` is `auto` where it is not among them.
        freeze: a policy for every arm whose networks learn; empty: the arm's own.
        label_map: a file of further label columns; empty: none.
    """

    name: str
    question: str
    data: str
    models: Mapping[str, str]
    arms: tuple[Design, ...]
    baselines: tuple[str, ...] = COMPARED
    image_size: int | None = None
    target: tuple[str, ...] = ()
    limits: tuple[int | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)
    epochs: Mapping[int | None, int] = field(default_factory=lambda: {None: EPOCHS})
    options: Mapping[str, Any] = field(default_factory=dict)
    freeze: str = ""
    label_map: str = ""

    def fit_options(self, limit: int | None = None, seed: int = 0) -> FitOptions:
        """The options of every fit at one limit, under one seed; raises UsageError."""
        epochs = self.epochs.get(limit, EPOCHS)
        return FitOptions(**{"augment": AUTO, **self.options, "epochs": epochs, "seed": seed})

    def limited(self, limits: Sequence[int | None]) -> StudyFile:
        """The same at other numbers of training images.

        Raises UsageError for a limit whose epochs the file does not tell.
        """
        counts = set(self.epochs.values())
        common = counts.pop() if len(counts) == 1 else None
        epochs = {limit: self.epochs.get(limit, common) for limit in limits}
        known = {limit: count for limit, count in epochs.items() if count is not None}
        if len(known) < len(epochs):
            unknown = next(limit for limit in limits if limit not in known)
            raise UsageError(
                f"no epochs are given for the limit {unknown or 'all'}",
                expected="epochs for every limit, or one number for all of them",
                found=", ".join(f"{limit or 'all'}: {n}" for limit, n in self.epochs.items()),
            )
        return replace(self, limits=tuple(limits), epochs=known)


def read_study(path: str | Path) -> StudyFile:
    """The study in a YAML file.

    Raises PlanError, a UsageError, with every problem and its `name:line:column`; UsageError where
    the file cannot be read.
    """
    path = Path(path)
    return study_from_yaml(read_text(path, f'the study "{path}"'), name=path.name)


def study_from_yaml(text: str, *, name: str = "study") -> StudyFile:
    """Read a study; raises PlanError with every problem, each with `name:line:column`."""
    reader = StudyReader(name)
    found = reader.read(read_yaml(text, name))
    reader.finish()
    limits = tuple(found.pop("limits", None) or (None,))
    epochs = found.pop("epochs", {}) or dict.fromkeys(limits, EPOCHS)
    title = {"name": Path(name).stem, "question": QUESTION, "data": "", "models": {}}
    return StudyFile(**{**title, **found, "limits": limits, "epochs": epochs})
