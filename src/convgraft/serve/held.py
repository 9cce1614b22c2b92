"""A fused head without some of its branches: those are held at their mean over training images.

A head standardises each branch by a batch norm, whose running mean is that mean. So a branch that
is held tells the head nothing: it is what the head sees on average.

Source: mean ablation; for features of networks, Morcos et al., On the Importance of Single
Directions for Generalization, 2018.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from convgraft.layers.fusions import Fusion
from convgraft.layers.side import SideHead


def can_hold(head: nn.Module) -> bool:
    """Whether a head knows its branches' means."""
    return isinstance(head, (Fusion, SideHead))


def with_held(head: nn.Module, inputs: Sequence[Tensor], held: Collection[int]) -> Tensor:
    """What a head says, logits [1, classes], with the branches of these numbers held."""
    given = [
        mean.view(1, -1, *[1] * (x.dim() - 2)).expand_as(x) if number in held else x
        for number, (x, mean) in enumerate(zip(inputs, _means(head), strict=True))
    ]
    return head(*given)


def branch_shares(head: nn.Module, inputs: Sequence[Tensor]) -> list[float]:
    """How much each branch moves the answer, as shares of one.

    A branch's part is how far the logits move, their mean over classes taken off, when it alone is
    held; for a linear head over concatenated branches that is exactly what it adds.
    """
    whole = head(*inputs)
    moves = [_size(whole - with_held(head, inputs, {number})) for number in range(len(inputs))]
    total = sum(moves)
    return [move / total if total else 0.0 for move in moves]


def _size(difference: Tensor) -> float:
    return (difference - difference.mean(1, keepdim=True)).norm().item()


def _means(head: nn.Module) -> Sequence[Tensor]:
    assert isinstance(head, (Fusion, SideHead))
    means = [norm.get_buffer("running_mean") for norm in head.standardisers]
    return torch.cat(means).split([shape[0] for shape in head.shapes])
