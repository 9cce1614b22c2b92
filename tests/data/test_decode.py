import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convgraft.data import BrokenImage, decode
from convgraft.data.decode import LONGEST_SIDE

Encode = Callable[..., bytes]
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 7, 3), dtype=np.uint8)
CORRUPT_EXIF = b"Exif\0\0II*\0\xff\xff\xff\x7f"  # Pillow warns about it


def reason(data: bytes) -> str:
    with pytest.raises(BrokenImage) as caught:
        decode(data, id="cat/1.png")
    assert caught.value.id == "cat/1.png"
    return caught.value.reason


def test_pixels_come_as_channels_height_width(encoded: Encode):
    image = decode(encoded(PIXELS))
    assert (image.dtype, image.shape, image.is_contiguous()) == (torch.uint8, (3, 4, 7), True)
    assert (image.permute(1, 2, 0).numpy() == PIXELS).all()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_are_exact(encoded: Encode, kind: str):
    assert (decode(encoded(PIXELS, kind)).permute(1, 2, 0).numpy() == PIXELS).all()


def test_webp_and_jpeg_are_near(encoded: Encode):
    flat = np.full((16, 16, 3), (200, 60, 90), dtype=np.uint8)
    for kind in ("JPEG", "WEBP"):
        shown = decode(encoded(flat, kind, quality=95)).permute(1, 2, 0).numpy().astype(int)
        assert abs(shown - flat).max() <= 8


def test_one_pixel(encoded: Encode):
    assert decode(encoded(np.array([[[1, 2, 3]]], dtype=np.uint8))).flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled(encoded: Encode, kind: str):
    image = decode(encoded(np.array([[0, 300, 65535]], dtype=np.uint16), kind))
    assert image.tolist() == [[[0, 1, 255]]] * 3


def test_a_dark_sixteen_bit_pgm_stays_dark():
    data = b"P5 2 1 65535\n" + np.array([0, 200], dtype=">u2").tobytes()
    assert decode(data)[0].tolist() == [[0, 1]]


def test_float_tiff(encoded: Encode):
    data = encoded(np.array([[0.0, 0.5, np.nan, 1.0]], dtype=np.float32), "TIFF")
    assert decode(data)[0].tolist() == [[0, 128, 0, 255]]


def test_palette_with_transparency_is_laid_on_white(encoded: Encode):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    shown = decode(encoded(image, transparency=0)).permute(1, 2, 0).tolist()
    assert shown == [[[255, 255, 255], [40, 50, 60]]]


def test_half_transparent_red_is_laid_on_white(encoded: Encode):
    data = encoded(Image.new("RGBA", (1, 1), (255, 0, 0, 128)))
    red, green, blue = decode(data).flatten().tolist()
    assert red == 255
    assert (green, blue) == pytest.approx((127, 127), abs=1)


def test_one_bit_and_cmyk(encoded: Encode):
    assert decode(encoded(np.array([[True, False]])))[0].tolist() == [[255, 0]]
    cyan = decode(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95))
    red, green, blue = (int(value) for value in cyan[:, 4, 4])
    assert red < 60 < 200 < min(green, blue)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_once(encoded: Encode, kind: str):
    sideways = np.zeros((8, 16, 3), dtype=np.uint8)
    sideways[:, :8] = 255  # white on the left; 6 means: turn clockwise, so white comes to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = decode(encoded(sideways, kind, exif=exif))
    assert shown.shape == (3, 16, 8)
    assert shown[:, :6].min() > 200
    assert shown[:, 10:].max() < 50


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("exif", [CORRUPT_EXIF, b"Exif\0\0neither order"])
def test_unreadable_exif_does_not_spoil_the_image(encoded: Encode, kind: str, exif: bytes):
    data = encoded(np.full((8, 8, 3), 200, np.uint8), kind, exif=exif)
    assert decode(data).float().mean() == pytest.approx(200, abs=3)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_frame_of_an_animation(encoded: Encode, kind: str):
    first, second = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")
    data = encoded(first, kind, save_all=True, append_images=[second])
    assert decode(data).min() > 240


def test_what_is_not_an_image():
    assert reason(b"") == "is empty"
    assert reason(b"\n<html><body>not found") == "is not an image (starts with '<html><body>not')"
    assert reason(b"\x01\x02\xff\xfe\x00") == "is not an image (starts with the bytes 01 02 ff fe)"
    assert reason(b"%!PS-Adobe-3.0 EPSF").startswith("is not an image (starts with '%!PS")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_half_a_file_is_cut_short(encoded: Encode, kind: str):
    data = encoded(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8), kind)
    assert reason(data[: len(data) // 2]) == "is cut short"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_no_damage_raises_another_error(encoded: Encode, kind: str):
    data = encoded(np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8), kind)
    random = np.random.default_rng(2)
    for _ in range(60):
        damaged = bytearray(data[: random.integers(1, len(data) + 1)])
        for place in random.integers(0, len(damaged), 4):
            damaged[place] = random.integers(0, 256)
        try:
            image = decode(bytes(damaged))
        except BrokenImage as error:
            assert error.reason.startswith("is ")
        else:
            assert image.shape[0] == 3


@pytest.mark.parametrize("limit", [99, 40])  # Pillow itself only warns up to twice the limit
def test_a_bomb_is_broken(encoded: Encode, monkeypatch: pytest.MonkeyPatch, limit: int):
    data = encoded(np.zeros((10, 10, 3), dtype=np.uint8))
    assert decode(data).shape == (3, 10, 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert reason(data) == f"is larger than {limit} pixels"


def test_what_is_thin_and_endless_is_broken(encoded: Encode):
    line = np.zeros((1, LONGEST_SIDE + 1, 3), dtype=np.uint8)
    assert decode(encoded(line[:, 1:])).shape == (3, 1, LONGEST_SIDE)
    assert reason(encoded(line)) == f"is longer than {LONGEST_SIDE} pixels on one side"
    upright = line.transpose(1, 0, 2)
    assert reason(encoded(upright)) == f"is longer than {LONGEST_SIDE} pixels on one side"


def test_no_warning_leaks_and_the_filters_come_back(encoded: Encode):
    data = encoded(PIXELS, "JPEG", exif=CORRUPT_EXIF)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [
            threading.Thread(target=lambda: [decode(data) for _ in range(50)]) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before
    assert seen == []


def test_a_real_jpeg(real_data: Path):
    data = (real_data / "natural_images/airplane/airplane_0000.jpg").read_bytes()
    assert decode(data).shape == (3, 30, 30)
