"""What moves the weights: parameter groups, the optimiser, and the schedule of its rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from convgraft.compose import Composite
from convgraft.training.freeze import Freeze
from convgraft.training.options import FitOptions

WARM_UP = 0.05
FUSED = ("cpu", "cuda", "mps")  # devices where one kernel moves all weights of a group


def parameter_groups(
    composite: Composite, freeze: Freeze, options: FitOptions
) -> list[dict[str, Any]]:
    """Trainable parameters by rate and decay, in the order of the state dict."""
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in composite.named_parameters():
        rate = freeze.rates[name]
        decay = options.weight_decay * freeze.decays[name] if parameter.dim() > 1 else 0.0
        if rate > 0:
            groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": options.rate * rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def optimiser(groups: list[dict[str, Any]], options: FitOptions, device: torch.device) -> Optimizer:
    """The options' optimiser of parameter groups on one device, fused where there is such a one."""
    fused = device.type in FUSED
    if options.optimiser == "sgd":
        return SGD(groups, lr=options.rate, momentum=0.9, nesterov=True, fused=fused)
    return AdamW(groups, lr=options.rate, fused=fused)


def schedule(moved: Optimizer, name: str, steps: int) -> LRScheduler:
    """The rate of every one of `steps` steps, as a share of each group's own."""
    if name == "one-cycle":
        peaks = [group["lr"] for group in moved.param_groups]
        return OneCycleLR(moved, max_lr=peaks, total_steps=steps + 1)
    if name == "constant":
        return LambdaLR(moved, lambda step: 1.0)
    return LambdaLR(moved, lambda step: cosine(step, steps))


def cosine(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to zero."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))
