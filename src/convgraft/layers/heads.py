"""Heads: what turns features into an answer. Every head gives logits, [N, classes]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convgraft.layers.adapters import Shape


class DenseHead(nn.Module):
    """Pools, concatenates and standardises its inputs, then dense layers.

    Inputs are maps [N, C, H, W] (averaged over positions) or vectors [N, C]. Networks give features
    of very different scale, so a batch norm without weights standardises them first. No hidden
    layer makes it a linear head.
    """

    def __init__(
        self,
        inputs: Sequence[Shape],
        classes: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = sum(shape[0] for shape in inputs)
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.layers = nn.Sequential()
        for number, size in enumerate(hidden):
            self.layers.add_module(f"dense{number}", nn.Linear(width, size))
            self.layers.add_module(f"relu{number}", nn.ReLU())
            self.layers.add_module(f"dropout{number}", nn.Dropout(dropout))
            width = size
        if dropout and not hidden:
            self.layers.add_module("dropout", nn.Dropout(dropout))
        self.classifier = nn.Linear(width, classes)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits [N, classes]."""
        pooled = [x.mean((2, 3)) if x.dim() == 4 else x for x in inputs]
        features = pooled[0] if len(pooled) == 1 else torch.cat(pooled, 1)
        return self.classifier(self.layers(self.norm(features)))


class AverageHead(nn.Module):
    """The average of probabilities, as logits: log(mean(softmax(x1), softmax(x2), ...))."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes] whose softmax is the average of theirs."""
        logs = torch.stack([torch.log_softmax(x, 1) for x in inputs])
        return torch.logsumexp(logs, 0) - torch.log(torch.tensor(float(len(inputs))))


class IdentityHead(nn.Module):
    """A source's own logits as an answer."""

    def forward(self, logits: Tensor) -> Tensor:
        """The same logits."""
        return logits


@dataclass(frozen=True)
class HeadKind:
    """One row of the head table.

    Attributes:
        build: (input shapes, classes, hidden widths, dropout) to the module.
        learns: whether it has weights (then it needs `classes`).
        many: whether it takes several inputs.
        takes: `features` (any tap) or `logits` (vectors as long as the number of classes).
        hidden: whether it may have hidden layers.
    """

    build: Callable[[Sequence[Shape], int, Sequence[int], float], nn.Module]
    learns: bool
    many: bool
    takes: str
    hidden: bool = False


HEADS: Mapping[str, HeadKind] = {
    "linear": HeadKind(DenseHead, learns=True, many=True, takes="features"),
    "mlp": HeadKind(DenseHead, learns=True, many=True, takes="features", hidden=True),
    "average": HeadKind(
        lambda shapes, classes, hidden, dropout: AverageHead(),
        learns=False,
        many=True,
        takes="logits",
    ),
    "identity": HeadKind(
        lambda shapes, classes, hidden, dropout: IdentityHead(),
        learns=False,
        many=False,
        takes="logits",
    ),
}
