"""Stacking: a logistic regression over members' answers, its penalty cross-validated."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from torch import Tensor

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
FOLDS = 3
ITERATIONS = 300


@dataclass(frozen=True, eq=False)
class Stack:
    """A fitted regression.

    Attributes:
        weight, bias: [classes, features] and [classes]; rows of classes that no image showed are
            as they were.
        strength: scikit-learn's C, the inverse of the penalty; None where nothing was to choose.
        nll: cross-validated, by strength.
    """

    weight: Tensor
    bias: Tensor
    strength: float | None
    nll: dict[float, float]


def fit_stack(features: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, seed: int) -> Stack:
    """Fit features [N, F] to labels [N].

    Args:
        weight, bias: what classes without an image keep, [classes, F] and [classes].
        seed: of the folds.
    """
    x, y = features.double().numpy(), labels.numpy()
    start = weight.double().numpy(), bias.double().numpy()
    if len(np.unique(y)) < 2:
        return Stack(weight, bias, None, {})
    found: dict[float, float] = {}
    if len(y) >= 2 * FOLDS:
        folds = list(KFold(FOLDS, shuffle=True, random_state=seed).split(x))
        for strength in STRENGTHS:
            found[strength] = float(np.mean([_nll(x, y, start, strength, fold) for fold in folds]))
    strength = min(found, key=lambda one: found[one]) if found else 1.0
    rows, offsets = _regression(x, y, start, strength)
    dtype = weight.dtype
    return Stack(
        torch.from_numpy(rows).to(dtype), torch.from_numpy(offsets).to(dtype), strength, found
    )


def _nll(
    x: np.ndarray,
    y: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    strength: float,
    fold: tuple[np.ndarray, np.ndarray],
) -> float:
    """Mean NLL on one fold of a regression on the others."""
    inside, outside = fold
    rows, offsets = _regression(x[inside], y[inside], start, strength)
    scores = torch.from_numpy(x[outside] @ rows.T + offsets)
    return torch.nn.functional.cross_entropy(scores, torch.from_numpy(y[outside])).item()


def _regression(
    x: np.ndarray, y: np.ndarray, start: tuple[np.ndarray, np.ndarray], strength: float
) -> tuple[np.ndarray, np.ndarray]:
    rows, offsets = start[0].copy(), start[1].copy()
    if len(np.unique(y)) < 2:
        return rows, offsets
    model = LogisticRegression(C=strength, max_iter=ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        # a fit that is stopped early is a little more penalised, and cross-validated all the same
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row then tells both classes apart
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    rows[model.classes_], offsets[model.classes_] = weight, bias
    return rows, offsets
