"""Which layers compute what their weights say, so that others can be written in their place."""

from __future__ import annotations

from torch import nn


def is_plain(layer: nn.Module) -> bool:
    """Whether a layer is a convolution or a dense layer that computes what its weights say.

    Kinds derived from them may standardise their weights or pad in other ways, and hooks may do
    anything.
    """
    hooked = layer._forward_pre_hooks or layer._forward_hooks
    return type(layer) in (nn.Conv2d, nn.Linear) and not hooked
