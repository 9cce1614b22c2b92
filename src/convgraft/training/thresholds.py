"""Thresholds of a confidence cascade: the cheapest that answer as well as the last member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convgraft.errors import UsageError
from convgraft.layers.fitted_votes import NEVER

SWEEPS = 10
APART = 1e-6  # probabilities nearer than this are not told apart, on any machine


@dataclass(frozen=True)
class Operating:
    """How a cascade works with its thresholds, on the images that they were chosen on.

    Attributes:
        thresholds: one for each member but the last.
        right: number of right answers.
        cost: mean cost of an image.
        shares: of the images that reach each member.
    """

    thresholds: tuple[float, ...]
    right: int
    cost: float
    shares: tuple[float, ...]


def choose_thresholds(
    logs: Tensor, labels: Tensor, costs: Sequence[float], max_cost: float | None = None
) -> Operating:
    """Choose one threshold after another until nothing gets better; exact for two members.

    Args:
        logs: log-probabilities [members, N, classes], the members in the order they run in.
        costs: of each member.
        max_cost: None: the least mean cost whose top-1 is not below the last member's. A number:
            the best top-1 whose mean cost is at most that.

    Raises UsageError where no thresholds cost as little as `max_cost`.
    """
    members = _Members(logs, labels, costs)
    if max_cost is None:
        thresholds = [NEVER] * (len(logs) - 1)
    elif costs[0] <= max_cost:
        thresholds = [0.0] * (len(logs) - 1)
    else:
        raise UsageError(
            "no cascade is as cheap as that: every image passes the first member",
            expected=f"a cost of {costs[0]:,.0f} or more",
            found=f"{max_cost:,.0f}",
        )
    floor = int(members.right[-1].sum())
    for _ in range(SWEEPS):
        before = list(thresholds)
        for place in range(len(thresholds)):
            thresholds[place] = members.best_at(place, thresholds, floor, max_cost)
        if thresholds == before:
            break
    return members.working(thresholds)


class _Members:
    def __init__(self, logs: Tensor, labels: Tensor, costs: Sequence[float]) -> None:
        self.sureness = logs.amax(2).exp()  # as the head compares it
        self.right = logs.argmax(2) == labels
        self.costs = costs

    def working(self, thresholds: Sequence[float]) -> Operating:
        """What these thresholds come to."""
        reached = [self._reached(place, thresholds) for place in range(len(self.costs))]
        right, cost = self._onward(0, thresholds)
        shares = tuple(part.double().mean().item() for part in reached)
        return Operating(tuple(thresholds), int(right.sum()), cost.mean().item(), shares)

    def best_at(
        self, place: int, thresholds: Sequence[float], floor: int, max_cost: float | None
    ) -> float:
        """The best threshold of one member while the others stay."""
        here = self._reached(place, thresholds)
        order = self.sureness[place][here].argsort(descending=True)
        sure = self.sureness[place][here][order]
        later, further = (values[here][order] for values in self._onward(place + 1, thresholds))
        right, cost = (values[~here].sum() for values in self._onward(0, thresholds))
        # by the number of images that stop here, the surest first
        rights = right + _sums(self.right[place][here][order]) + later.sum() - _sums(later)
        costs = cost + len(sure) * sum(self.costs[: place + 1]) + further.sum() - _sums(further)
        cuts = torch.ones(len(sure) + 1, dtype=torch.bool)
        cuts[1:-1] = sure[:-1] - sure[1:] > APART
        if max_cost is None:
            stop = _best(-costs, rights, cuts & (rights >= floor))
        else:
            limit = max_cost * len(here) * (1 + 1e-9)
            stop = _best(rights, -costs, cuts & (costs <= limit))
        return thresholds[place] if stop is None else _threshold(sure, stop)

    def _reached(self, place: int, thresholds: Sequence[float]) -> Tensor:
        """Which images come to a member."""
        reached = torch.ones_like(self.right[0])
        for earlier in range(place):
            reached = reached & (self.sureness[earlier] < thresholds[earlier])
        return reached

    def _onward(self, place: int, thresholds: Sequence[float]) -> tuple[Tensor, Tensor]:
        """For images that come to a member: whether they are answered right, and the cost."""
        last = len(self.costs) - 1
        right = self.right[last].double()
        cost = torch.full_like(right, self.costs[last])
        for earlier in reversed(range(place, last)):
            stops = self.sureness[earlier] >= thresholds[earlier]
            right = torch.where(stops, self.right[earlier].double(), right)
            cost = torch.where(stops, 0.0, cost) + self.costs[earlier]
        return right, cost


def _sums(values: Tensor) -> Tensor:
    """Sums of the first 0, 1, 2, ... values."""
    return torch.cat([torch.zeros(1, dtype=torch.double), values.double().cumsum(0)])


def _best(first: Tensor, second: Tensor, allowed: Tensor) -> int | None:
    """The place of the largest `first`, of several the largest `second`; None where none may be."""
    if not allowed.any():
        return None
    first = first.masked_fill(~allowed, -torch.inf)
    return int(second.masked_fill(first < first.max(), -torch.inf).argmax())


def _threshold(sure: Tensor, stop: int) -> float:
    """A threshold that the first `stop` of falling probabilities reach, half way to the next."""
    if stop == 0:
        return NEVER
    if stop == len(sure):
        return 0.0
    return float(sure[stop - 1].double() + sure[stop].double()) / 2
