"""Weights of votes from held-out answers: by convex optimisation, and by greedy selection.

Everywhere, `logs` are the members' log-probabilities [members, N, classes], `labels` are [N].
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from convgraft.layers.fitted_votes import SMALLEST

GREEDY_STEPS = 50
LINE_STEPS = 20
DIGITS = 9  # of an NLL; what differs less is equal but for rounding
NOTHING = 1e-6  # weights below this are the optimiser's rounding


def mixed(logs: Tensor, weights: Tensor) -> Tensor:
    """log(sum of w_i p_i), [N, classes], as `WeightedHead` computes it."""
    return torch.logsumexp(logs + weights.to(logs).clamp(min=SMALLEST).log()[:, None, None], 0)


def score(logs: Tensor, labels: Tensor) -> tuple[int, float]:
    """Number of right answers, and minus the mean NLL: the larger the better."""
    nll = torch.nn.functional.nll_loss(logs.double(), labels).item()
    return int((logs.argmax(1) == labels).sum()), -round(nll, DIGITS)


def best_member(logs: Tensor, labels: Tensor) -> int:
    """The place of the member with the best top-1; of several, the best NLL."""
    return max(range(len(logs)), key=lambda place: score(logs[place], labels))


def convex_weights(logs: Tensor, labels: Tensor) -> Tensor:
    """The weights of least NLL, [members]: a convex problem on the simplex.

    Minimises -mean(log(sum of w_i p_i(label))) by sequential quadratic programming.
    """
    truth = logs.gather(2, labels.expand(len(logs), -1)[:, :, None])[:, :, 0]
    chances = truth.double().exp().clamp(min=SMALLEST).numpy()  # [members, N]
    count = len(chances)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total = np.maximum(weights @ chances, SMALLEST)
        return -np.log(total).mean(), -(chances / total).mean(1)

    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={
            "type": "eq",
            "fun": lambda weights: weights.sum() - 1,
            "jac": lambda weights: np.ones(count),
        },
        options={"maxiter": 500, "ftol": 1e-10},
    )
    weights = np.nan_to_num(found.x)
    weights[weights < NOTHING] = 0.0
    if weights.sum() <= 0:
        weights = np.ones(count)
    return torch.from_numpy(weights / weights.sum())


def safe_weights(logs: Tensor, labels: Tensor) -> Tensor:
    """The convex weights, moved towards the best member where alone it has a better top-1.

    With these weights the vote's top-1 on `logs` is never below the best member's: of the points
    on the line between both it is the best by top-1, then NLL.
    """
    weights = convex_weights(logs, labels)
    best = best_member(logs, labels)
    if score(mixed(logs, weights), labels)[0] >= score(logs[best], labels)[0]:
        return weights
    alone = torch.zeros_like(weights)
    alone[best] = 1.0
    line = [torch.lerp(weights, alone, step / LINE_STEPS) for step in range(LINE_STEPS + 1)]
    return max(line, key=lambda one: score(mixed(logs, one), labels))


def greedy_counts(logs: Tensor, labels: Tensor, steps: int = GREEDY_STEPS) -> Tensor:
    """How often each member is taken, [members].

    From nothing, the member is added that makes the average best, by top-1, then NLL; members may
    be added again. Of all the bags on that way the best one is kept, of equals the smallest.

    Source: Caruana et al., Ensemble Selection from Libraries of Models, 2004.
    """
    probabilities = logs.double().exp()
    counts = torch.zeros(len(logs))
    total = torch.zeros_like(probabilities[0])
    best, kept = (-1, float("-inf")), counts
    for step in range(1, steps + 1):
        scores = [score(_logs((total + one) / step), labels) for one in probabilities]
        place = max(range(len(scores)), key=lambda number: scores[number])
        total = total + probabilities[place]
        counts = counts.clone()
        counts[place] += 1
        if scores[place] > best:
            best, kept = scores[place], counts
    return kept


def _logs(probabilities: Tensor) -> Tensor:
    return probabilities.clamp(min=SMALLEST).log()
