"""What a set of answers is worth: top-1, balanced accuracy, NLL, calibration error."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
)

from convgraft.errors import RunError

SMALLEST = 2.0**-24  # above zero, of 16-bit floating point numbers


@dataclass(frozen=True)
class Metrics:
    """Measured on labelled images.

    Attributes:
        images: how many.
        top1: share whose most probable class is right.
        balanced: mean over classes of the share that is right.
        nll: mean negative log-likelihood, in nats.
        ece: expected calibration error over 15 bins.
    """

    images: int
    top1: float
    balanced: float
    nll: float
    ece: float

    @property
    def error(self) -> float:
        """Share whose most probable class is wrong."""
        return 1 - self.top1

    def as_dict(self) -> dict[str, float | int]:
        """Plain numbers for JSON."""
        return asdict(self)


def measure(logits: Tensor, labels: Tensor) -> Metrics:
    """Metrics of logits [N, classes] against labels [N].

    Raises RunError where the answers cannot be about these labels.
    """
    logits, labels = logits.double().cpu(), labels.cpu()
    classes = logits.shape[1]
    if classes <= max(1, int(labels.max())):
        raise RunError(
            "the answers are not about these classes",
            expected=f"a number for each of {max(1, int(labels.max())) + 1} classes or more",
            found=str(classes),
        )
    probabilities = logits.softmax(1)
    return Metrics(
        images=len(labels),
        top1=int((logits.argmax(1) == labels).sum()) / len(labels),
        balanced=_balanced(logits, labels, classes),
        nll=torch.nn.functional.cross_entropy(logits, labels).item(),
        ece=multiclass_calibration_error(probabilities, labels, classes, n_bins=15).item(),
    )


def measure_probabilities(probabilities: Tensor, labels: Tensor) -> Metrics:
    """Metrics of probabilities [N, classes] against labels [N].

    A probability of zero counts as the smallest that 16 bits hold, 6e-8, so that the NLL is finite.
    """
    return measure(probabilities.double().clamp(min=SMALLEST).log(), labels)


def _balanced(logits: Tensor, labels: Tensor, classes: int) -> float:
    """Over the classes that occur."""
    shares = multiclass_accuracy(logits, labels, classes, average="none")
    return shares[torch.unique(labels)].mean().item()
