"""What a network is given of an image: the same everywhere, and of large JPEGs nearly the same."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.transforms.v2 import functional

from convgraft.data import (
    BrokenImage,
    decode,
    load_pixels,
    open_images,
    read_resized,
    resized,
)
from convgraft.data.decode import DECODER, decode_array

Encode = Callable[..., bytes]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """640x427 pixels, which no scale divides."""
    return Image.fromarray(load_sample_image("flower.jpg"))


def naive(data: bytes, size: int) -> Tensor:
    return functional.resize(decode(data), [size, size], antialias=True)


def difference(data: bytes, size: int) -> Tensor:
    return (read_resized(data, size).int() - naive(data, size).int()).abs().float()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [107, 427, 500])
def test_what_is_not_much_larger_is_exact(
    photo: Image.Image, encoded: Encode, kind: str, size: int
):
    data = encoded(photo, kind)
    assert torch.equal(read_resized(data, size), naive(data, size))
    assert read_resized(data, size).is_contiguous()


@pytest.mark.parametrize("size", [16, 32, 64, 106])
def test_a_large_jpeg_is_nearly_the_same(photo: Image.Image, encoded: Encode, size: int):
    found = difference(encoded(photo, "JPEG", quality=90), size)
    assert 0 < found.mean() < 0.6  # it is reduced, and well
    assert found.max() <= 16


def test_the_last_column_of_a_reduced_jpeg_is_in_its_place(encoded: Encode):
    """Of 513 columns an eighth is 65: as whole ones, they would move the right edge to the left."""
    ramp = np.broadcast_to(np.linspace(0, 255, 513)[None, :, None], (513, 513, 3))
    data = encoded(ramp.astype(np.uint8), "JPEG", quality=100)
    assert difference(data, 32)[:, :, 1:].max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_upright(photo: Image.Image, encoded: Encode, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert difference(encoded(photo, "JPEG", exif=exif), 64).mean() < 0.6


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk(photo: Image.Image, encoded: Encode, mode: str):
    assert difference(encoded(photo.convert(mode), "JPEG"), 64).mean() < 0.6


def test_a_second_picture_in_the_file(photo: Image.Image, encoded: Encode):
    black = Image.new("RGB", photo.size)
    data = encoded(photo, "MPO", save_all=True, append_images=[black])
    assert 0 < difference(data, 64).mean() < 0.6


@pytest.mark.parametrize("size", [64, 400])
def test_a_large_jpeg_that_is_broken(
    photo: Image.Image, encoded: Encode, size: int, monkeypatch: pytest.MonkeyPatch
):
    data = encoded(photo, "JPEG")
    with pytest.raises(BrokenImage, match=r"x is cut short"):
        read_resized(data[: len(data) // 2], size, id="x")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 640 * 427 - 1)
    with pytest.raises(BrokenImage, match="is larger than 273279 pixels"):
        read_resized(data, size)


def test_grey_pixels_as_digits_are():
    grey = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    three = torch.from_numpy(grey).expand(3, -1, -1).contiguous()
    assert torch.equal(read_resized(grey, 8), three)
    assert torch.equal(read_resized(grey, 20), resized(three, 20))


def test_images_of_several_shapes_are_what_they_are_alone(
    photo: Image.Image, encoded: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    random = np.random.default_rng(1)
    for number in range(40):
        height, width = (30, 30) if number % 3 else (41, 23)
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        kind = ("png", "jpeg")[number % 2]
        path = tmp_path / "ab"[number % 2] / f"{number:02}.{kind}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(photo if number == 7 else pixels, kind.upper()))
    images = open_images(tmp_path)
    for size, held in ((16, 2**22), (50, 5000), (30, 0)):
        monkeypatch.setattr("convgraft.data.resize.HELD_BYTES", held)
        loaded = load_pixels(images, size)
        alone = [read_resized(images.raw(index), size) for index in range(40)]
        assert torch.equal(loaded.images, torch.stack(alone))
        small = [row for row in range(40) if images.read(row).shape[1] < 100]
        for row in small:
            assert torch.equal(loaded.images[row], resized(images.read(row), size))


def test_raise_the_decoder_version_with_every_change(encoded: Encode):
    """Pixels lie on disk under `DECODER`: if this fails, raise it and put the new hash here."""
    random = np.random.default_rng(2)
    made = [
        random.integers(0, 256, (40, 37, 3), np.uint8),
        random.integers(0, 256, (9, 9), np.uint8),
        random.integers(0, 65536, (20, 20), np.uint16),
        random.integers(0, 256, (12, 30, 4), np.uint8),
    ]
    digest = hashlib.sha256(str(DECODER).encode())
    for array in made:
        digest.update(np.ascontiguousarray(decode_array(encoded(array), size=4)).tobytes())
    assert digest.hexdigest()[:16] == "cc9c68873a530be0"
