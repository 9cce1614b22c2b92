"""Asking about fewer images at once where there is no memory for all."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convgraft.cache.out_of_memory import is_out_of_memory
from convgraft.errors import RunError

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def in_halves(ask: Ask, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What `ask` says of images [N, 3, S, S], all at once, or half by half with a warning.

    Raises RunError where there is no memory for a single image.
    """
    try:
        return ask(images)
    # each engine has an error of its own
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(images) < 2:
            raise RunError(
                "there is not enough memory for a single image",
                found=str(error).splitlines()[0] if str(error) else None,
                hint="fewer --workers, or more memory",
            ) from error
    half = len(images) // 2
    # out of the `except`, which holds on to what had been computed
    warnings.warn(
        f"no memory for {len(images)} images at once: they go through in halves; "
        f"--batch-size {half} does so from the beginning",
        stacklevel=2,
    )
    return np.concatenate([in_halves(ask, images[:half]), in_halves(ask, images[half:])])
