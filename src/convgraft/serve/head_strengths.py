"""How much of each of its inputs a head takes: one way to measure it for each kind of head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from convgraft.layers.fitted_votes import CascadeHead, GreedyHead, WeightedHead
from convgraft.layers.fusions import Fusion
from convgraft.layers.mixes import AttentionMix, ExciteMix
from convgraft.layers.side import SideHead
from convgraft.layers.votes import AverageHead, LogitsHead
from convgraft.serve.held import branch_shares

Read = Sequence[Tensor]


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        of: whether a head is of this kind.
        values: the head and what it reads, to a number from 0 to 1 for each input.
        of_image: whether another picture may have other numbers.
        words: what a number means.
    """

    part: Literal["branch", "member", "rung"]
    of: Callable[[nn.Module], bool]
    values: Callable[[Any, Read], list[float]]
    of_image: bool
    words: str


def measure_of(head: nn.Module) -> Measure | None:
    """The way to measure a head; None for one whose answer no shares describe (a stack, say)."""
    return next((row for row in MEASURES if row.of(head)), None)


def _mixes(kind: type[nn.Module]) -> Callable[[nn.Module], bool]:
    return lambda head: isinstance(head, Fusion) and isinstance(head.mix, kind)


def _kind(*kinds: type[nn.Module]) -> Callable[[nn.Module], bool]:
    return lambda head: isinstance(head, kinds)


def _attention(head: Fusion, read: Read) -> list[float]:
    return head.weights(*read)[0].tolist()


def _excite(head: Fusion, read: Read) -> list[float]:
    """The mean over a branch's channels of sigmoid(W2 relu(W1 x))."""
    mix = head.mix
    assert isinstance(mix, ExciteMix)
    gates = torch.sigmoid(mix.excite(torch.relu(mix.squeeze(*head.standardised(*read)))))
    return [part.mean().item() for part in gates[0].split([shape[0] for shape in head.shapes])]


def _rungs(head: SideHead, read: Read) -> list[float]:
    """Rung i's share of the ladder's end without its blocks: (1 - g_i) g_{i+1} ... g_n, g_0 = 0."""
    assert head.alphas is not None
    gates = [0.0, *torch.sigmoid(head.alphas).tolist()]
    shares, left = [], 1.0
    for gate in reversed(gates):
        shares.append((1 - gate) * left)
        left *= gate
    return shares[::-1]


def _weights(head: WeightedHead | GreedyHead, read: Read) -> list[float]:
    return head.shares().tolist()


def _alike(head: nn.Module, read: Read) -> list[float]:
    return [1 / len(read)] * len(read)


def _sure(head: CascadeHead, read: Read) -> list[float]:
    """One for the member that answered: the first that was sure, else the last."""
    sure = [
        bool(head.sure(place, torch.log_softmax(logits, 1))[0, 0])
        for place, logits in enumerate(read[:-1])
    ]
    answered = [*sure, True].index(True)
    return [float(place == answered) for place in range(len(read))]


MEASURES = (
    Measure("branch", _mixes(AttentionMix), _attention, True, "attention paid to the branch"),
    Measure("branch", _mixes(ExciteMix), _excite, True, "mean gate of the branch's channels"),
    Measure("branch", _kind(Fusion), branch_shares, True, "share in which it moves the answer"),
    Measure("rung", _kind(SideHead), _rungs, False, "share by the ladder's gates"),
    Measure("member", _kind(WeightedHead, GreedyHead), _weights, False, "weight of its vote"),
    Measure("member", _kind(CascadeHead), _sure, True, "1 for the member that answered"),
    Measure("member", _kind(AverageHead, LogitsHead), _alike, False, "all count alike"),
)
