"""Where in the picture a network found evidence for a class.

Source: Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization, 2017. Here the score is the composite's, so a map shows what that network gave to the
answer of all, through whatever head, wires and votes there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_SIDE = 32


def grad_cam(score: Tensor, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each map [1, C, H, W] that led to the score, a grid [H, W] from 0 to 1.

    relu(sum_k a_k A_k), where a_k is the mean over positions of d score / d A_k, divided by its
    largest value; on a grid of at most 32 x 32. Maps without evidence are left out.
    """
    names = list(maps)
    gradients = torch.autograd.grad(
        score, [maps[name] for name in names], allow_unused=True, retain_graph=True
    )
    found: dict[str, Tensor] = {}
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            continue
        weights = gradient.mean((2, 3), keepdim=True)
        heat = _small(F.relu((weights * maps[name]).sum(1).detach()))
        if heat.max() > 0:
            found[name] = heat / heat.max()
    return found


def _small(heat: Tensor) -> Tensor:
    """[1, H, W] to [H, W], averaged down where it is larger than is worth sending."""
    height, width = (min(side, LARGEST_SIDE) for side in heat.shape[1:])
    return F.adaptive_avg_pool2d(heat, (height, width))[0]
