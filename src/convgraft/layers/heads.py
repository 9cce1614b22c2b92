"""Heads: what turns features into an answer. Every head gives logits, [N, classes]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from convgraft.layers.adapters import Shape
from convgraft.layers.fusions import Fusion
from convgraft.layers.head_kind import HeadKind
from convgraft.layers.side import SideHead
from convgraft.layers.votes import VOTES

LARGEST_VARIANCE = 256
CLASSIFIER_START = 1e-3  # deviation of a new classifier's weights


class DenseHead(Fusion):
    """A fusion of its inputs, then dense layers.

    Inputs are maps [N, C, H, W] or vectors [N, C]; by default they are pooled, concatenated and
    standardised. No hidden layer makes it a linear head.

    The classifier begins close to zero, at equal probabilities: a random one would pull at
    features that were learned elsewhere (Kumar et al. 2022). A fused vector of more than 256
    numbers is scaled down to a total variance of 256: else a step of the optimiser would move the
    answer of a head over thousands of features by as much more as it is wider.

    Args:
        fusion: a row of `FUSIONS`.

    Attributes:
        scale: what the fused vector is multiplied by.
    """

    def __init__(
        self,
        inputs: Sequence[Shape],
        classes: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        fusion: str = "concat",
    ) -> None:
        super().__init__(inputs, fusion)
        width = self.width
        self.scale = min(1.0, (LARGEST_VARIANCE / width) ** 0.5)
        self.layers = nn.Sequential()
        for number, size in enumerate(hidden):
            self.layers.add_module(f"dense{number}", nn.Linear(width, size))
            self.layers.add_module(f"relu{number}", nn.ReLU())
            self.layers.add_module(f"dropout{number}", nn.Dropout(dropout))
            width = size
        if dropout and not hidden:
            self.layers.add_module("dropout", nn.Dropout(dropout))
        self.classifier = nn.Linear(width, classes)
        nn.init.normal_(self.classifier.weight, std=CLASSIFIER_START)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits [N, classes]."""
        return self.classifier(self.layers(self.scale * super().forward(*inputs)))


def _build_side(
    inputs: Sequence[Shape], classes: int, hidden: Sequence[int], dropout: float, fusion: str
) -> nn.Module:
    return SideHead(inputs, classes, dropout)


HEADS: Mapping[str, HeadKind] = {
    "linear": HeadKind(DenseHead, learns=True, many=True, takes="features", fuses=True),
    "mlp": HeadKind(DenseHead, learns=True, many=True, takes="features", hidden=True, fuses=True),
    "ridge": HeadKind(DenseHead, learns=True, many=True, takes="features"),
    "side": HeadKind(_build_side, learns=True, many=True, takes="features"),
    **VOTES,
}
