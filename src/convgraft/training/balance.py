"""How the losses of several tasks are weighed against each other.

constant      as the plan's weights say
uncertainty   each by a learned noise of its task (Kendall et al. 2018)
gradnorm      so that all tasks pull equally hard at the shared weights, those that learn slower
              a little harder (Chen et al. 2018)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from convgraft.errors import UsageError
from convgraft.training.process_group import current_group

GRADNORM_ALPHA = 1.5
GRADNORM_RATE = 0.025


class Constant(nn.Module):
    """The plain sum."""

    def __init__(self, count: int) -> None:
        super().__init__()

    def forward(self, losses: Sequence[Tensor], shared: Tensor | None) -> Tensor:
        """The sum of scalars."""
        if len(losses) == 1:
            return losses[0]
        return torch.stack(list(losses)).sum()

    def shares(self) -> list[float]:
        """The weights that the losses have come to; empty where they have none of their own."""
        return []


class Uncertainty(nn.Module):
    """sum of exp(-s_i) loss_i + s_i / 2 with learned s_i, the logarithm of a task's variance."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(count))

    def forward(self, losses: Sequence[Tensor], shared: Tensor | None) -> Tensor:
        """The weighed sum of scalars."""
        return (
            torch.stack(list(losses)) * (-self.log_variance).exp() + self.log_variance / 2
        ).sum()

    def shares(self) -> list[float]:
        """exp(-s_i)."""
        return (-self.log_variance.detach()).exp().tolist()


class GradNorm(nn.Module):
    """sum of w_i loss_i; w_i move so that |w_i d loss_i / d shared| come to their common mean.

    A task whose loss fell less than the others' is meant to pull harder, by its relative inverse
    rate to the power alpha. The w_i are positive and sum to the number of tasks.
    """

    weights: Tensor
    first: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(count))
        self.register_buffer("first", torch.zeros(count))

    def forward(self, losses: Sequence[Tensor], shared: Tensor | None) -> Tensor:
        """The weighed sum of scalars; while training also one step of the weights."""
        stacked = torch.stack(list(losses))
        if torch.is_grad_enabled() and self.training and shared is not None:
            self._step(losses, shared)
        return (stacked * self.weights).sum()

    def _step(self, losses: Sequence[Tensor], shared: Tensor) -> None:
        values = _mean_over_ranks(torch.stack(list(losses)).detach())
        # a task without a label in a batch has no loss there: its first one is still to come
        self.first.copy_(torch.where(self.first > 0, self.first, values))
        grads = [torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses]
        norms = torch.stack([_mean_over_ranks(grad).norm() for grad in grads])
        rates = values / self.first.clamp(min=1e-8)
        pulls = self.weights * norms
        goal = pulls.mean() * (rates / rates.mean().clamp(min=1e-8)) ** GRADNORM_ALPHA
        steps = torch.sign(pulls - goal) * norms / norms.mean().clamp(min=1e-8)
        moved = self.weights - GRADNORM_RATE * steps
        moved = moved.clamp(min=0.05)
        self.weights.copy_(moved * len(losses) / moved.sum())

    def shares(self) -> list[float]:
        """The weights."""
        return self.weights.tolist()


def _mean_over_ranks(values: Tensor) -> Tensor:
    """What all ranks make of their shares of a batch, each told times the number of ranks."""
    group = current_group()
    return values if group.world == 1 else group.total(values) / group.world


BALANCES: Mapping[str, type[Constant] | type[Uncertainty] | type[GradNorm]] = {
    "constant": Constant,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
}


def shared_weight(network: nn.Module, losses: Sequence[Tensor]) -> Tensor:
    """The last learning weight that all losses depend on; raises UsageError where there is none."""
    weights = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    for loss in losses:
        if not weights:
            break
        grads = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        weights = [w for w, grad in zip(weights, grads, strict=True) if grad is not None]
    if not weights:
        raise UsageError(
            "gradnorm balances the pull of tasks at weights that they share and that learn",
            found="none",
            hint="--balance uncertainty, or a freeze policy that lets the trunk learn",
        )
    return weights[-1]
