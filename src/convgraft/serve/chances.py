"""Probabilities as what is sent: the most probable classes first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convgraft.serve.schemas import Chance


def most_probable(labels: Sequence[str], chances: NDArray[np.float32], top: int) -> list[Chance]:
    """The `top` most probable classes of [classes], all of them where there are fewer."""
    order = np.argsort(-chances, kind="stable")[:top]
    return [chance(labels, chances, int(index)) for index in order]


def chance(labels: Sequence[str], chances: NDArray[np.float32], index: int) -> Chance:
    """One class; rounding may have left its probability a little outside of 0 to 1."""
    return Chance(
        label=labels[index], index=index, probability=min(1.0, max(0.0, float(chances[index])))
    )
