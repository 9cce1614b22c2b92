"""A network over fewer images at once where there is no memory for all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from convgraft.cache.out_of_memory import is_out_of_memory

Values = tuple[Tensor, ...]


def in_halves(network: Callable[[Tensor], Values]) -> Callable[[Tensor], Values]:
    """The same network; where memory runs out, a batch goes through half by half, with a warning.

    What one image alone has no memory for raises what the library raises.
    """

    def values(images: Tensor) -> Values:
        try:
            return network(images)
        # each library has an error of its own for it
        except Exception as error:
            if len(images) < 2 or not is_out_of_memory(error):
                raise
        half = len(images) // 2
        warnings.warn(f"no memory for {len(images)} images at once: half by half", stacklevel=2)
        pairs = zip(values(images[:half]), values(images[half:]), strict=True)
        return tuple(torch.cat(pair) for pair in pairs)

    return values
