"""A linear classifier in closed form: ridge regression of one-hot targets on features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(-2, 6))


@dataclass(frozen=True, eq=False)
class ClosedClassifier:
    """Scores of classes from features.

    Attributes:
        weight: [classes, features], float64.
        bias: [classes].
        penalty: the strength that cross-validation chose, on standardised features.
    """

    weight: Tensor
    bias: Tensor
    penalty: float

    def logits(self, features: Tensor) -> Tensor:
        """[N, features] to scores [N, classes]; the largest is the class."""
        return features.double() @ self.weight.T + self.bias


def fit_classifier(features: Tensor, labels: Tensor) -> ClosedClassifier:
    """Fit features [N, F] to labels [N], from 0; no gradient step.

    The strength is chosen by leave-one-out cross-validation, which ridge regression has in closed
    form. Features are standardised first; one that never changes has no say.
    """
    x = features.double().numpy()
    scaler = StandardScaler().fit(x)
    targets = torch.nn.functional.one_hot(labels.long()).double().numpy()
    model: Any = RidgeCV(alphas=PENALTIES).fit(scaler.transform(x), targets)
    weight = np.atleast_2d(model.coef_) / np.asarray(scaler.scale_)
    bias = np.atleast_1d(model.intercept_) - weight @ np.asarray(scaler.mean_)
    return ClosedClassifier(torch.from_numpy(weight), torch.from_numpy(bias), float(model.alpha_))
