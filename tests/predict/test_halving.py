"""A prediction for which memory does not suffice goes on with smaller batches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from convgraft.errors import RunError
from convgraft.predict.halving import in_halves

NO_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


def asker(most: int, text: str = NO_MEMORY):
    def ask(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(images) > most:
            raise RuntimeError(text)
        return images.reshape(len(images), -1)[:, :2].astype(np.float32)

    return ask


IMAGES = np.arange(9 * 12, dtype=np.uint8).reshape(9, 3, 2, 2)


def test_the_answers_are_the_same_and_it_is_told() -> None:
    with pytest.warns(UserWarning, match="--batch-size 4"):
        found = in_halves(asker(2), IMAGES)
    assert np.array_equal(found, asker(9)(IMAGES))


@pytest.mark.filterwarnings("ignore:no memory")
def test_a_single_image_too_much_is_told() -> None:
    with pytest.raises(RunError, match="not enough memory for a single image"):
        in_halves(asker(0), IMAGES)


def test_other_errors_are_raised_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        in_halves(asker(0, "shapes differ"), IMAGES)
