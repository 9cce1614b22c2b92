"""Where memory runs out, a batch goes through half by half, and comes out the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convgraft.cache.halves import in_halves
from convgraft.cache.out_of_memory import is_out_of_memory

NO_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."


class Small:
    """A network with memory for a few images, which notes how many it was given."""

    def __init__(self, most: int, says: Exception | None = None) -> None:
        self.most, self.says, self.given = most, says or RuntimeError(NO_MEMORY), []

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        self.given.append(len(images))
        if len(images) > self.most:
            raise self.says
        return images + 1, images.flatten(1).sum(1)


@pytest.mark.filterwarnings("ignore:no memory")
def test_what_comes_out_is_the_same() -> None:
    images, network = torch.rand(7, 3, 2, 2), Small(2)
    found = in_halves(network)(images)
    for one, other in zip(found, Small(7)(images), strict=True):
        assert torch.equal(one, other)
    assert network.given == [7, 3, 1, 2, 4, 2, 2]


def test_it_is_told() -> None:
    with pytest.warns(UserWarning, match="no memory for 4 images"):
        in_halves(Small(2))(torch.rand(4, 3, 2, 2))


def test_one_image_too_much_and_other_errors_are_raised() -> None:
    with pytest.raises(RuntimeError, match="allocate"):
        in_halves(Small(0))(torch.rand(1, 3, 2, 2))
    with pytest.raises(RuntimeError, match="shapes"):
        in_halves(Small(0, RuntimeError("shapes differ")))(torch.rand(2, 3, 2, 2))


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (RuntimeError(NO_MEMORY), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (KeyboardInterrupt("out of memory"), False),
    ],
    ids=repr,
)
def test_errors_of_memory(error: BaseException, is_it: bool) -> None:
    assert is_out_of_memory(error) is is_it
