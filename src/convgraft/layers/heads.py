"""Heads: what turns features into an answer. Every head gives logits, [N, classes]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from convgraft.layers.adapters import Shape
from convgraft.layers.head_kind import HeadKind
from convgraft.layers.votes import VOTES


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
        fusion: str = "concat",
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


HEADS: Mapping[str, HeadKind] = {
    "linear": HeadKind(DenseHead, learns=True, many=True, takes="features"),
    "mlp": HeadKind(DenseHead, learns=True, many=True, takes="features", hidden=True),
    **VOTES,
}
