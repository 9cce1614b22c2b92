"""What the head table says of each kind of head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from convgraft.layers.adapters import Shape


@dataclass(frozen=True)
class HeadKind:
    """One row of the head table.

    Attributes:
        build: (input shapes, classes, hidden widths, dropout, fusion) to the module.
        learns: whether it has weights that gradients train (then it needs `classes`).
        many: whether it takes several inputs.
        takes: `features` (any tap), `logits` (vectors as long as the number of classes) or `any`.
        hidden: whether it may have hidden layers.
        fitted: whether it has numbers that `fit_heads` works out from held-out answers.
        fuses: whether `fusion` is its to choose.
    """

    build: Callable[[Sequence[Shape], int, Sequence[int], float, str], nn.Module]
    learns: bool
    many: bool
    takes: str
    hidden: bool = False
    fitted: bool = False
    fuses: bool = False
