from typing import Any

import numpy as np
import torch
from sklearn import datasets

from convgraft.data import open_images

STORED: Any = datasets.load_digits()


def test_all_digits_in_ten_classes():
    images = open_images("digits")
    assert (images.kind, len(images), images.parts) == ("digits", 1797, None)
    assert images.classes == tuple("0123456789")
    assert images.ids[5] == "digits#5"
    assert np.bincount(images.labels).tolist() == np.bincount(STORED.target).tolist()


def test_grey_levels_0_to_16_become_0_to_255():
    images = open_images("digits")
    naive = [[round(value * 255 / 16) for value in row] for row in STORED.images[7]]
    raw = images.raw(7)
    assert isinstance(raw, np.ndarray)
    assert raw.tolist() == naive
    image = images.read(7)
    assert (image.dtype, image.shape) == (torch.uint8, (3, 8, 8))
    assert image.tolist() == [naive] * 3


def test_a_caller_cannot_change_the_set():
    images = open_images("digits")
    images.read(0).zero_()
    raw = images.raw(0)
    assert isinstance(raw, np.ndarray)
    raw[:] = 0
    assert images.read(0).max() > 200
