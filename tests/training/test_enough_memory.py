"""Where memory runs out in training, there is a word on what would do."""

from __future__ import annotations

import pytest

from convgraft.errors import RunError
from convgraft.training import FitOptions
from convgraft.training.enough_memory import enough_memory
from convgraft.training.epochs import evaluation_batch


@pytest.mark.parametrize(
    ("batch", "hint"), [(32, "--batch-size 16"), (3, "--batch-size 2"), (2, "--image-size")]
)
def test_half_of_the_batch_is_named(batch: int, hint: str) -> None:
    with pytest.raises(RunError, match=f"train on {batch} images") as told, enough_memory(batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
    assert hint in str(told.value.hint) and "can't allocate" in str(told.value.found)


def test_what_is_about_something_else_is_raised_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), enough_memory(32):
        raise RuntimeError("shapes differ")
    with pytest.raises(RunError, match="stopped"), enough_memory(32):
        raise RunError("stopped: out of memory")


def test_a_smaller_step_has_a_smaller_validation() -> None:
    assert [evaluation_batch(FitOptions(batch_size=size)) for size in (64, 32, 2)] == [128, 128, 8]
