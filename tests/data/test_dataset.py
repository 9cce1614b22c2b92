from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader

from convgraft.data import (
    EpochBatches,
    PixelDataset,
    Pixels,
    augmentation,
    load_pixels,
    open_images,
)
from convgraft.errors import DataError


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return load_pixels(open_images("digits"), 8, indices=range(40))


def test_items_are_the_chosen_rows(pixels: Pixels):
    data = PixelDataset(pixels, [5, 30])
    assert len(data) == 2
    image, labels = data[1]
    assert (image == pixels.images[30]).all()
    assert labels == {"": int(pixels.labels[30])}
    assert type(labels[""]) is int
    assert (data[3, 1][0] == image).all()


def test_an_item_is_a_copy(pixels: Pixels):
    before = pixels.images[0].clone()
    PixelDataset(pixels, [0])[0][0].zero_()
    assert (pixels.images[0] == before).all()


def test_augmentation_depends_on_seed_epoch_and_row_only(pixels: Pixels):
    augment = augmentation("standard", 8)
    data = PixelDataset(pixels, range(40), augment=augment, seed=1)
    again = PixelDataset(pixels, [9, 7], augment=augment, seed=1)
    other = PixelDataset(pixels, range(40), augment=augment, seed=2)
    assert (data[0, 7][0] == again[1][0]).all()
    assert (data[7][0] == data[0, 7][0]).all()
    changed = [(data[0, 7][0] != view).any() for view in (data[1, 7][0], other[0, 7][0])]
    assert all(changed)


def test_training_in_float64_sees_the_same_images(pixels: Pixels):
    data = PixelDataset(pixels, range(40), augment=augmentation("standard", 8), seed=1)
    seen = [data[0, row][0] for row in range(40)]
    torch.set_default_dtype(torch.float64)
    try:
        again = [data[0, row][0] for row in range(40)]
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(*pair) for pair in zip(seen, again, strict=True))


def test_the_global_generator_is_left_alone(pixels: Pixels):
    data = PixelDataset(pixels, range(40), augment=augmentation("light", 8))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    data[0]
    assert (torch.rand(3) == expected).all()


def batches(pixels: Pixels, workers: int, epoch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    data = PixelDataset(pixels, range(40), augment=augmentation("standard", 8), seed=3)
    sampler = EpochBatches()
    sampler.set_epoch(epoch, torch.arange(len(data)).flip(0).split(16))
    loader = DataLoader(data, batch_sampler=sampler, num_workers=workers)
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat([batch[""] for batch in labels])


def test_workers_do_not_change_an_epoch(pixels: Pixels):
    alone, helped = batches(pixels, 0), batches(pixels, 2)
    assert (alone[0] == helped[0]).all()
    assert (alone[1] == helped[1]).all()
    assert (batches(pixels, 0, epoch=2)[0] != alone[0]).any()


def test_every_column_comes_along(pixels: Pixels):
    others = {"parity": pixels.labels % 2, "rare": torch.where(pixels.labels == 3, 0, -1)}
    several = replace(pixels, others=others)
    for augment in (None, augmentation("digits", 8)):
        data = PixelDataset(several, [13, 3, 8], augment=augment)
        assert [labels["rare"] for _, labels in (data[i] for i in range(3))] == [0, 0, -1]
        images, labels = next(iter(DataLoader(data, batch_size=3)))
        assert images.shape == (3, 3, 8, 8)
        assert list(labels) == ["", "parity", "rare"]
        assert all(column.dtype == torch.int64 for column in labels.values())
        assert (labels[""] == pixels.labels[[13, 3, 8]]).all()
        assert (labels["parity"] == labels[""] % 2).all()


def test_batches_are_yielded_with_their_epoch():
    sampler = EpochBatches()
    assert list(sampler) == []
    sampler.set_epoch(4, [torch.tensor([7, 2]), torch.tensor([5])])
    assert list(sampler) == list(sampler) == [[(4, 7), (4, 2)], [(4, 5)]]
    assert len(sampler) == 2


def test_a_negative_seed(pixels: Pixels):
    with pytest.raises(DataError, match="seed -2"):
        PixelDataset(pixels, [0], seed=-2)
