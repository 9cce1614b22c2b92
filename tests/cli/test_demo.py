"""The demo is honest: what a network was pretrained on is in no part of the task."""

from __future__ import annotations

import pytest

from convgraft.cli.demo import HALVES, PER_CLASS, few_images, pretraining_half
from convgraft.data import open_images, split_images


@pytest.mark.parametrize("name", HALVES)
def test_pretraining_sees_no_image_of_the_task(name: str) -> None:
    images = open_images("digits")
    split = few_images(images, split_images(images, seed=0))
    half = pretraining_half(images, split, HALVES[name])
    task = {images.ids[index] for index in [*split.train, *split.val, *split.test]}
    assert not task & set(half.ids)
    assert len(half) > 400
    assert half.classes == tuple(images.classes[label] for label in HALVES[name])
    label = int(half.labels[0]) + HALVES[name].start
    place = images.ids.index(half.ids[0])
    assert images.labels[place] == label
    assert (half.raw(0) == images.raw(place)).all()


def test_twenty_images_a_class() -> None:
    images = open_images("digits")
    split = few_images(images, split_images(images, seed=0))
    counts = [sum(images.labels[index] == label for index in split.train) for label in range(10)]
    assert counts == [PER_CLASS] * 10 == [20] * 10
