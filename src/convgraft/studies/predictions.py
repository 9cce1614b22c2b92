"""What an arm made of every test image, kept so that arms can be compared image by image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convgraft.compose import Composite
from convgraft.data import MISSING
from convgraft.durable.on_disk import make_folder
from convgraft.durable.sealed_tensors import load_sealed, save_sealed
from convgraft.errors import ArtifactError
from convgraft.training import Answered, Metrics, Task, measure_probabilities

PROBABILITIES, LABELS, IDS, CLASSES = "probabilities", "labels", "ids", "classes"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labelled images, and what one arm thinks of them.

    Attributes:
        ids: of the images, as in their `ImageSet`.
        labels: int64 [N], indices into `classes`.
        probabilities: [N, C].
        classes: names, in label order.
    """

    ids: tuple[str, ...]
    labels: Tensor
    probabilities: Tensor
    classes: tuple[str, ...]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the most probable class is the label, [N]."""
        return (self.probabilities.argmax(1) == self.labels).numpy()

    def metrics(self) -> Metrics:
        """Top-1, balanced accuracy, NLL and calibration error."""
        return measure_probabilities(self.probabilities, self.labels)

    def save(self, path: Path) -> None:
        """Write them as a safetensors file, whole or not at all.

        Probabilities are rounded to 16 bits, of which the most probable class stays the only one.
        """
        make_folder(path.parent)
        tensors = {
            PROBABILITIES: _halved(self.probabilities),
            LABELS: self.labels.to(torch.int64),
        }
        notes = {IDS: json.dumps(self.ids), CLASSES: json.dumps(self.classes)}
        save_sealed(path, tensors, notes)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote, probabilities as float32; raises ArtifactError."""
        try:
            tensors, told = load_sealed(path)
            ids, classes = (tuple(json.loads(told[name])) for name in (IDS, CLASSES))
            labels, probabilities = (tensors[name] for name in (LABELS, PROBABILITIES))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f'the predictions in "{path}" cannot be read', found=str(error)
            ) from error
        return cls(ids, labels, probabilities.float(), classes)


def predictions_of(composite: Composite, answered: Answered, task: Task) -> Predictions:
    """What the composite's main answer says of the images whose label is known."""
    answer = composite.plan.answer
    column = answered.about[answer]
    labels = answered.labels[column]
    known = labels != MISSING
    rows = known.nonzero().flatten().tolist()
    return Predictions(
        tuple(task.images.ids[answered.indices[row]] for row in rows),
        labels[known],
        answered.logits[answer][known].double().softmax(1),
        tuple(task.columns[column]),
    )


def _halved(probabilities: Tensor) -> Tensor:
    """16 bits each [N, C]; the first most probable class of a row is the only one there too."""
    exact = probabilities.double().numpy()
    halved = exact.astype(np.float16)
    rows, best = np.arange(len(exact)), exact.argmax(1)
    highest = halved[rows, best].copy()
    halved[rows, best] = -1
    others = halved.max(1)
    above = np.nextafter(others, np.float16(2))
    halved[rows, best] = np.where(others >= highest, above, highest)
    return torch.from_numpy(halved)
