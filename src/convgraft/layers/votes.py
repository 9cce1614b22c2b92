"""Heads without weights that gradients train: votes over answers, and values passed through."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from convgraft.layers.head_kind import HeadKind


class AverageHead(nn.Module):
    """The average of probabilities, as logits: log(mean(softmax(x1), softmax(x2), ...))."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes] whose softmax is the average of theirs."""
        logs = torch.stack([torch.log_softmax(x, 1) for x in inputs])
        return torch.logsumexp(logs, 0) - torch.log(torch.tensor(float(len(inputs))))


class IdentityHead(nn.Module):
    """A value as it is: a source's own logits as an answer, or a tap for a loss to look at."""

    def forward(self, value: Tensor) -> Tensor:
        """The same value."""
        return value


VOTES: Mapping[str, HeadKind] = {
    "average": HeadKind(
        lambda shapes, classes, hidden, dropout, fusion: AverageHead(),
        learns=False,
        many=True,
        takes="logits",
    ),
    "identity": HeadKind(
        lambda shapes, classes, hidden, dropout, fusion: IdentityHead(),
        learns=False,
        many=False,
        takes="logits",
    ),
    "tap": HeadKind(
        lambda shapes, classes, hidden, dropout, fusion: IdentityHead(),
        learns=False,
        many=False,
        takes="any",
    ),
}
