"""Composites as after training: statistics, gates and classifiers that are not where they began."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convgraft.compose import Composite
from convgraft.layers.adapters import Gate, ResidualMix
from convgraft.layers.joins import CrossFade


@torch.no_grad()
def as_trained(composite: Composite, gate: float | None = None) -> Composite:
    """In evaluation mode, shaken; gates at one number, or of both signs."""
    drawn = torch.Generator().manual_seed(3)

    def around(values: Tensor, middle: float, reach: float) -> None:
        values.uniform_(middle - reach, middle + reach, generator=drawn)

    for module in composite.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for values, middle in ((module.running_mean, 0.0), (module.running_var, 1.0)):
                if values is not None:
                    around(values, middle, 0.5)
        scale = module.scale if isinstance(module, (Gate, ResidualMix)) else None
        if isinstance(module, CrossFade):
            scale = module.gate
        if scale is not None:
            around(scale, 0, 0.5) if gate is None else scale.fill_(gate)
    for name, weights in composite.named_parameters():
        if name.startswith("heads."):
            around(weights, 0, 0.3)
    return composite.eval()


def apart(values: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest difference of any answer, over its largest logit; a naive loop."""
    assert list(values) == list(expected)
    worst = 0.0
    for name, one in expected.items():
        assert values[name].shape == one.shape
        worst = max(worst, ((values[name] - one).abs().max() / one.abs().max()).item())
    return worst
