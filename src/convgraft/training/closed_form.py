"""Ridge regression onto one-hot labels, every penalty and leave-one-out answer in closed form.

    scores(x) = mean(Y) + k(x) (K + penalty I)^-1 (Y - mean(Y))

over a kernel K of centred features, so that heads over many taps cost no more than heads over few:
kernels of concatenated features add up. An image's leave-one-out answer follows from the hat
matrix H: y - (y - fitted) / (1 - H_ii), without fitting again (Allen 1974, PRESS).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

PENALTIES = tuple(10.0 ** (power / 2) for power in range(-8, 5))  # of the total variance
NORM_EPSILON = 1e-5  # of the batch norms of heads
TINY = 1e-12
SCALES = (-1.0, 5.0)  # powers of e that a temperature is looked for between


@dataclass(frozen=True, eq=False)
class Kernel:
    """Inner products of standardised features.

    Attributes:
        train: [N, N], among training images, centred.
        val: [M, N], validation against training images.
    """

    train: Tensor
    val: Tensor

    @classmethod
    def of(cls, train: Tensor, val: Tensor) -> Kernel:
        """From features [N, C] and [M, C], standardised as heads do it, by the training images."""
        x, y = train.double(), val.double()
        mean, deviation = x.mean(0), (x.var(0) + NORM_EPSILON).sqrt()
        return cls.plain((x - mean) / deviation, (y - mean) / deviation)

    @classmethod
    def plain(cls, train: Tensor, val: Tensor) -> Kernel:
        """From features [N, C] and [M, C] that are standardised already."""
        x = train.double()
        return cls(x @ x.T, val.double() @ x.T)

    @classmethod
    def total(cls, kernels: Iterable[Kernel]) -> Kernel:
        """The kernel of the concatenated features."""
        first, *others = kernels
        train, val = first.train.clone(), first.val.clone()
        for one in others:
            train += one.train
            val += one.val
        return cls(train, val)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a fitted regression answers.

    Attributes:
        held_out: [N, classes], each training image by a fit to all the others.
        val: [M, classes].
        penalty: the chosen one, as a share of the total variance.
    """

    held_out: Tensor
    val: Tensor
    penalty: float

    @classmethod
    def average(cls, members: Iterable[Scores]) -> Scores:
        """The mean answer of several regressions."""
        known = list(members)
        held_out = torch.stack([one.held_out for one in known]).mean(0)
        return cls(held_out, torch.stack([one.val for one in known]).mean(0), float("nan"))


def solve(kernel: Kernel, labels: Tensor, classes: int) -> Scores:
    """The regression whose penalty has the least leave-one-out squared error.

    Args:
        labels: of the training images, [N], in 0..classes-1.
    """
    targets = torch.nn.functional.one_hot(labels, classes).double()
    mean = targets.mean(0)
    values, vectors = torch.linalg.eigh(kernel.train)
    values = values.clamp(min=0)
    turned = vectors.T @ (targets - mean)
    unit = values.mean().clamp(min=TINY)
    best: tuple[float, float, Tensor] | None = None
    for penalty in PENALTIES:
        shrunk = values / (values + penalty * unit)
        fitted = mean + vectors @ (shrunk[:, None] * turned)
        leverage = 1 / len(labels) + vectors.square() @ shrunk
        residual = (targets - fitted) / (1 - leverage).clamp(min=TINY)[:, None]
        error = residual.square().mean().item()
        if best is None or error < best[0]:
            best = error, penalty, targets - residual
    assert best is not None
    _, penalty, held_out = best
    dual = vectors @ (turned / (values + penalty * unit)[:, None])
    return Scores(held_out, mean + kernel.val @ dual, penalty)


def weights_of(
    features: Tensor, labels: Tensor, classes: int, penalty: float
) -> tuple[Tensor, Tensor]:
    """The same regression as weight [classes, C] and bias [classes] on features [N, C].

    In the primal or in the dual form, whichever is smaller; float64.
    """
    x = features.double()
    mean = x.mean(0)
    x = x - mean
    targets = torch.nn.functional.one_hot(labels, classes).double()
    share = targets.mean(0)
    ridge = penalty * max(x.square().sum().item() / len(x), TINY)
    if len(x) < x.shape[1]:
        eye = torch.eye(len(x), dtype=torch.float64)
        weight = (x.T @ torch.linalg.solve(x @ x.T + ridge * eye, targets - share)).T
    else:
        eye = torch.eye(x.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(x.T @ x + ridge * eye, x.T @ (targets - share)).T
    return weight, share - weight @ mean


def temperature(scores: Scores, labels: Tensor) -> float:
    """What scores are multiplied by, so that their softmax has the least leave-one-out NLL."""

    def nll(power: float) -> float:
        logits = math.exp(power) * scores.held_out
        return torch.nn.functional.cross_entropy(logits, labels).item()

    found: Any = minimize_scalar(nll, bounds=SCALES, method="bounded")
    return math.exp(float(found.x))
