"""Votes with numbers of their own, which `convgraft.training.fit_votes` works out.

The numbers are buffers: no gradient changes them. Before they are fitted, all of these answer
something sensible.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST = 1e-30  # instead of a zero that has no logarithm
LEAST_LOG = -30.0  # log-probabilities below this tell a stack nothing more
NEVER = 2.0  # a threshold that no probability reaches


class _MixtureHead(nn.Module):
    """log(sum of w_i p_i) of the members' probabilities p_i."""

    def shares(self) -> Tensor:
        """The weights w, [members], 0 or more, with sum 1."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes]."""
        logs = torch.stack([torch.log_softmax(x, 1) for x in inputs])
        weights = self.shares().clamp(min=SMALLEST).log()
        return torch.logsumexp(logs + weights[:, None, None], 0)


class WeightedHead(_MixtureHead):
    """A weighted average of probabilities.

    Attributes:
        weights: [members], 0 or more, with sum 1; all equal before it is fitted.
    """

    weights: Tensor

    def __init__(self, members: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((members,), 1.0 / members))

    def shares(self) -> Tensor:
        """The weights as they are."""
        return self.weights


class GreedyHead(_MixtureHead):
    """The average over a bag of members, in which one may be several times or not at all.

    Attributes:
        counts: [members], how often each is in the bag; once before it is fitted.

    Source: Caruana et al., Ensemble Selection from Libraries of Models, 2004.
    """

    counts: Tensor

    def __init__(self, members: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.ones(members))

    def shares(self) -> Tensor:
        """Each member's share of the bag."""
        return self.counts / self.counts.sum()


class StackHead(nn.Module):
    """Stacking: a multinomial logistic regression over all members' log-probabilities.

    Attributes:
        weight: [classes, members * classes], the first member's columns first. Before it is
            fitted it takes the mean over members, which is the average of logits.
        bias: [classes].

    Source: Wolpert, Stacked Generalization, 1992.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, members: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(classes).repeat(1, members) / members)
        self.register_buffer("bias", torch.zeros(classes))

    @staticmethod
    def features(*inputs: Tensor) -> Tensor:
        """What the regression reads: log-probabilities [N, members * classes], held above -30."""
        logs = [torch.log_softmax(x, 1) for x in inputs]
        return torch.cat(logs, 1).clamp(min=LEAST_LOG)

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes]."""
        scores = nn.functional.linear(self.features(*inputs), self.weight, self.bias)
        return torch.log_softmax(scores, 1)


class CascadeHead(nn.Module):
    """The answer of the first member that is sure of it; the last one's where none is.

    Members come in the order of their cost. This head has the answers of all of them;
    `convgraft.training.staged_answers` gives the same and runs the later ones on the rest alone.

    Attributes:
        thresholds: [members - 1]; a member is sure where its highest probability reaches its own.
            Before they are fitted none is ever reached.

    Source: Viola and Jones 2001; for deep networks, Wang et al., IDK Cascades, 2018.
    """

    thresholds: Tensor

    def __init__(self, members: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("thresholds", torch.full((members - 1,), NEVER))

    def sure(self, place: int, logs: Tensor) -> Tensor:
        """Whether a member (not the last) is sure of its log-probabilities [N, classes], [N, 1]."""
        return logs.amax(1, keepdim=True).exp() >= self.thresholds[place]

    def forward(self, *inputs: Tensor) -> Tensor:
        """[N, classes] each, to [N, classes]."""
        logs = [torch.log_softmax(x, 1) for x in inputs]
        answer = logs[-1]
        for place in reversed(range(len(inputs) - 1)):
            answer = torch.where(self.sure(place, logs[place]), logs[place], answer)
        return answer
