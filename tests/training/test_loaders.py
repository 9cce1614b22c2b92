"""Batches: the same rows in the same order as from a loader that collates one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from convgraft.data import Pixels
from convgraft.data.seeding import shuffled
from convgraft.training import FitOptions, loaders
from convgraft.training.epochs import Batch
from convgraft.training.loaders import loader
from convgraft.training.ranks import Ranks


class Numbers:
    """Row i holds i, and the view that it was read in."""

    def __init__(self, count: int) -> None:
        self.count, self.view, self.reads = count, -1, 0

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int) -> None:
        self.view = epoch

    def batch(self, rows: Tensor) -> Batch:
        self.reads += 1
        values = torch.stack((rows, torch.full_like(rows, self.view)), 1).float()
        return (values, values[:, :1]), {"": rows % 3, "kind": rows % 2}


def some_pixels(count: int) -> Pixels:
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 8, 8)
    return Pixels(images.clone(), torch.arange(count), tuple(range(count)), ())


def rows_of(batches: list[Batch]) -> list[list[int]]:
    return [inputs[0][:, 0].int().tolist() for inputs, _ in batches]


@pytest.mark.parametrize("read_bytes", [1, 500, 2**21])
@pytest.mark.parametrize(("count", "last"), [(100, 4), (98, 2), (96, 32), (97, 32), (3, 3), (1, 1)])
def test_batches_are_those_of_the_sampler(
    count: int, last: int, read_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "READ_BYTES", read_bytes)
    drawn = loader(Numbers(count), FitOptions(batch_size=32), shuffle=True, seed=5)
    for epoch in (0, 3):
        batches = list(drawn.epoch(epoch))
        order = shuffled(count, 5, epoch).tolist()
        naive = [order[start : start + 32] for start in range(0, count, 32)]
        if count == 97:  # a last batch of one image is left out
            naive = naive[:-1]
        assert rows_of(batches) == naive
        assert len(batches) == drawn.steps
        assert len(naive[-1]) == last
        for rows, (inputs, labels) in zip(naive, batches, strict=True):
            assert labels[""].tolist() == [row % 3 for row in rows]
            assert labels["kind"].tolist() == [row % 2 for row in rows]
            assert inputs[1][:, 0].int().tolist() == rows
            assert set(inputs[0][:, 1].int().tolist()) == {epoch}


def test_validation_is_in_order_and_whole() -> None:
    drawn = loader(Numbers(129), FitOptions(batch_size=32), shuffle=False, seed=5)
    assert rows_of(list(drawn.epoch(0))) == [list(range(128)), [128]]


def test_small_values_are_read_in_few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = Numbers(64 * 32)
    list(loader(numbers, FitOptions(batch_size=32), shuffle=True, seed=0).epoch(0))
    assert numbers.reads == 2
    monkeypatch.setattr(loaders, "READ_BYTES", 1)
    list(loader(numbers, FitOptions(batch_size=32), shuffle=True, seed=0).epoch(0))
    assert numbers.reads == 2 + 64


def test_a_trainer_sees_one_item() -> None:
    drawn = loader(Numbers(100), FitOptions(batch_size=32), shuffle=True, seed=0)
    assert len(drawn) == 1
    assert list(drawn) == [drawn]


@pytest.mark.parametrize("augment", ["none", "digits"])
def test_images_and_their_labels(augment: str) -> None:
    pixels = some_pixels(50)
    drawn = loader(pixels, FitOptions(batch_size=16, augment=augment), shuffle=True, seed=1)
    batches = list(drawn.epoch(2))
    assert len(batches) == drawn.steps == 4
    assert sorted(row for _, labels in batches for row in labels[""].tolist()) == list(range(50))
    for (shown,), labels in batches:
        assert shown.shape == (len(labels[""]), 3, 8, 8)
        assert shown[:, 0, 4, 4].tolist() == labels[""].tolist()


@pytest.mark.parametrize("augment", ["none", "digits"])
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_each_batch(augment: str, world: int) -> None:
    pixels = some_pixels(35)  # the last batch has three images
    options = FitOptions(batch_size=16, augment=augment)
    whole = list(loader(pixels, options, shuffle=True, seed=1).epoch(2))
    shares = [
        list(loader(pixels, options, shuffle=True, seed=1, ranks=Ranks(r, world)).epoch(2))
        for r in range(world)
    ]
    for number, ((images,), labels) in enumerate(whole):
        for rank, batches in enumerate(shares):
            (own,), known = batches[number]
            assert torch.equal(own, images[rank::world])
            assert torch.equal(known[""], labels[""][rank::world])


def test_a_rank_without_an_image_gets_an_empty_batch() -> None:
    for augment in ("none", "digits"):
        drawn = loader(
            some_pixels(34),
            FitOptions(batch_size=16, augment=augment),
            shuffle=True,
            seed=1,
            ranks=Ranks(2, 3),
        )
        (images,), labels = list(drawn.epoch(0))[-1]
        assert images.shape[0] == len(labels[""]) == 0
        assert images.shape[1:] == (3, 8, 8)


@pytest.mark.parametrize("augment", ["none", "digits"])
def test_an_epoch_goes_on_in_the_middle(augment: str) -> None:
    drawn = loader(
        some_pixels(70), FitOptions(batch_size=16, augment=augment), shuffle=True, seed=1
    )
    whole, rest = list(drawn.epoch(1)), list(drawn.epoch(1, 3))
    assert len(rest) == len(whole) - 3 == 2
    for ((one,), _), ((other,), _) in zip(whole[3:], rest, strict=True):
        assert torch.equal(one, other)
