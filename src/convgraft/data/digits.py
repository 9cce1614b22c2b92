"""The 1,797 handwritten digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from convgraft.data.imageset import ImageSet, fingerprint, frozen_labels
from convgraft.errors import DataError


def open_digits(location: str = "digits") -> ImageSet:
    """1,797 images, grey 8x8, ten classes `0` to `9`, no given parts.

    The stored grey values 0..16 become 0..255.

    Raises:
        DataError: scikit-learn is not installed.
    """
    stored = _load()
    grey = np.rint(stored.images * (255 / 16)).astype(np.uint8)
    grey.flags.writeable = False
    classes = tuple(str(name) for name in stored.target_names)
    ids = tuple(f"digits#{index}" for index in range(len(grey)))
    labels = frozen_labels(stored.target)
    return ImageSet(
        location=location,
        kind="digits",
        target=None,
        classes=classes,
        ids=ids,
        labels=labels,
        parts=None,
        fingerprint=fingerprint("digits", None, classes, ids, labels, ()),
        source=lambda index: grey[index].copy(),
        stamps=_stamps,
    )


def _stamps(indices: Sequence[int]) -> list[str]:
    place = f"scikit-learn {version('scikit-learn')} digits"
    return [f"{place} row {index}" for index in indices]


def _load() -> Any:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "the digits come with scikit-learn, which is not installed",
            hint="pip install scikit-learn",
        ) from error
    return load_digits()
