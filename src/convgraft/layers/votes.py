"""Heads without weights that gradients train: votes over answers, and values passed through.

Votes take logits [N, classes], one tensor a member, and give log-probabilities, whose largest is
the winner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from convgraft.layers.adapters import Shape
from convgraft.layers.fitted_votes import SMALLEST, CascadeHead, GreedyHead, StackHead, WeightedHead
from convgraft.layers.head_kind import HeadKind


class AverageHead(nn.Module):
    """The average of probabilities, as logits: log(mean(softmax(x1), softmax(x2), ...))."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes] whose softmax is the average of theirs."""
        return _average(inputs)


class LogitsHead(nn.Module):
    """The average of logits: the geometric mean of probabilities, scaled to sum to one."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes]."""
        return torch.log_softmax(torch.stack(inputs).mean(0), 1)


class PluralityHead(nn.Module):
    """The class with the most votes; of several, the one with the largest average probability.

    Probabilities are shares of votes, the members' average counted as one vote more.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes]."""
        return _shares(_votes(inputs), inputs)


class HardHead(nn.Module):
    """The class with over half of the votes; where none has, the average of probabilities."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes]."""
        votes = _votes(inputs)
        decided = 2 * votes.amax(1, keepdim=True) > len(inputs)
        return torch.where(decided, _shares(votes, inputs), _average(inputs))


class IdentityHead(nn.Module):
    """A value as it is: a source's own logits as an answer, or a tap for a loss to look at."""

    def forward(self, value: Tensor) -> Tensor:
        """The same value."""
        return value


def _average(inputs: Sequence[Tensor]) -> Tensor:
    logs = torch.stack([torch.log_softmax(x, 1) for x in inputs])
    return torch.logsumexp(logs, 0) - torch.log(torch.tensor(float(len(inputs))))


def _votes(inputs: Sequence[Tensor]) -> Tensor:
    """How many members have each class on top, [N, classes]."""
    each = [nn.functional.one_hot(x.argmax(1), x.shape[1]) for x in inputs]
    return torch.stack(each).sum(0).float()


def _shares(votes: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """log((votes + average) / (members + 1)).

    A vote more outweighs any average: of two classes, the one with fewer votes leads by less than
    half a vote in the average, since its lead is negative for all who voted for the other.
    """
    logs = torch.stack([votes.clamp(min=SMALLEST).log(), _average(inputs)])
    return torch.logsumexp(logs, 0) - torch.log(torch.tensor(float(len(inputs) + 1)))


def _vote(kind: type[nn.Module]) -> HeadKind:
    """A row for a vote that knows all it needs."""
    return HeadKind(
        lambda shapes, classes, hidden, dropout, fusion: kind(),
        learns=False,
        many=True,
        takes="logits",
    )


def _fitted_vote(kind: type[WeightedHead | GreedyHead | StackHead | CascadeHead]) -> HeadKind:
    """A row for a vote whose numbers come from held-out answers."""

    def build(
        shapes: Sequence[Shape], classes: int, hidden: Sequence[int], dropout: float, fusion: str
    ) -> nn.Module:
        return kind(len(shapes), shapes[0][0])

    return HeadKind(build, learns=False, many=True, takes="logits", fitted=True)


def _passing(takes: str) -> HeadKind:
    return HeadKind(
        lambda shapes, classes, hidden, dropout, fusion: IdentityHead(),
        learns=False,
        many=False,
        takes=takes,
    )


VOTES: Mapping[str, HeadKind] = {
    "average": _vote(AverageHead),
    "logits": _vote(LogitsHead),
    "hard": _vote(HardHead),
    "plurality": _vote(PluralityHead),
    "weighted": _fitted_vote(WeightedHead),
    "stack": _fitted_vote(StackHead),
    "greedy": _fitted_vote(GreedyHead),
    "cascade": _fitted_vote(CascadeHead),
    "identity": _passing("logits"),
    "tap": _passing("any"),
}
VOTE_KINDS = tuple(kind for kind, row in VOTES.items() if row.many)
