"""Least squares between two taps, in one streaming pass and closed form.

    W, b = argmin sum |y - W x - b|^2 + penalty |W|^2

over all images and positions, from second moments in float64, so that no activation is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

PENALTY = 1e-4  # of the mean variance of x


class RidgeMoments:
    """Sums over positions from which the solution follows."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Nothing seen yet."""
        self.count = 0
        self._x = torch.zeros(channels_in, dtype=torch.float64)
        self._y = torch.zeros(channels_out, dtype=torch.float64)
        self._xx = torch.zeros(channels_in, channels_in, dtype=torch.float64)
        self._xy = torch.zeros(channels_in, channels_out, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Take in a batch, [N, C_in, ...] and [N, C_out, ...] with the same positions."""
        left, right = _rows(x), _rows(y)
        self.count += len(left)
        self._x += left.sum(0)
        self._y += right.sum(0)
        self._xx += left.T @ left
        self._xy += left.T @ right

    def solve(self, penalty: float = PENALTY) -> tuple[Tensor, Tensor]:
        """Weight [C_out, C_in] and bias [C_out], float32."""
        mean_x, mean_y = self._x / self.count, self._y / self.count
        covariance = self._xx / self.count - torch.outer(mean_x, mean_x)
        cross = self._xy / self.count - torch.outer(mean_x, mean_y)
        ridge = penalty * covariance.diagonal().mean().clamp(min=1e-12)
        eye = torch.eye(len(mean_x), dtype=torch.float64)
        weight = torch.linalg.solve(covariance + ridge * eye, cross).T
        return weight.float(), (mean_y - weight @ mean_x).float()


def _rows(value: Tensor) -> Tensor:
    """[N, C, ...] as [N * positions, C], float64."""
    return value.detach().double().transpose(0, 1).flatten(1).T
