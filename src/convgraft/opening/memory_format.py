"""How maps lie in memory: channels last where a network bears it, because convolutions are faster.

Only speed depends on it, and the last bits of results.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convgraft.compose import Composite


def fastest_format(composite: Composite) -> torch.memory_format:
    """`channels_last`, or `contiguous_format` for a network that takes views of its maps."""
    size = composite.plan.image_size
    sample = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    sample = sample.to(next(composite.parameters()).device)
    was_training = composite.training
    composite.eval()
    try:
        with torch.inference_mode():
            composite(laid_out(sample, torch.channels_last))
    except RuntimeError:
        return torch.contiguous_format
    finally:
        composite.train(was_training)
    return torch.channels_last


def laid_out(value: Tensor, memory_format: torch.memory_format) -> Tensor:
    """The same numbers; maps [N, C, H, W] lie in memory as asked for."""
    return value.contiguous(memory_format=memory_format) if value.dim() == 4 else value
