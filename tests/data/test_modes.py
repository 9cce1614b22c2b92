import numpy as np
import pytest
from PIL import Image

from convgraft.data.modes import float_grey, integer_grey, sixteen_bit_grey, to_rgb


def test_sixteen_bits_round_to_the_nearest_of_257_steps():
    values = np.arange(65536)
    naive = np.array([round(int(value) / 257) for value in values])
    assert (sixteen_bit_grey(values) == naive).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 255], [0, 1, 255]),
        ([0, 257, 65535], [0, 1, 255]),
        ([-100, 0, 100], [0, 128, 255]),
        ([70000, 70000, 70000], [0, 0, 0]),
    ],
)
def test_integer_grey(values: list[int], expected: list[int]):
    assert integer_grey(np.array(values)).tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 1.5, 254.6], [0, 2, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 500.0, 1000.0], [0, 128, 255]),
        ([np.nan, np.inf, 1.0], [0, 0, 255]),
        ([-2.0, -2.0, -2.0], [0, 0, 0]),
    ],
)
def test_float_grey(values: list[float], expected: list[int]):
    assert float_grey(np.array(values)).tolist() == expected


def test_neutral_lab_is_neutral_grey():
    lab = Image.merge("LAB", [Image.new("L", (2, 2), value) for value in (255, 128, 128)])
    assert to_rgb(lab).min() >= 250


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr", "HSV", "CMYK", "LA", "La", "RGBa"])
def test_every_mode_becomes_three_bytes_per_pixel(mode: str):
    grey = Image.new("L", (3, 2), 255)
    middle = "LA" if mode == "La" else "RGBA" if mode == "RGBa" else None
    image = (grey.convert(middle) if middle else grey).convert(mode)
    pixels = to_rgb(image)
    assert (pixels.shape, pixels.dtype) == ((2, 3, 3), np.uint8)
    assert (pixels == 255).all()


def test_the_image_is_left_alone():
    image = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert to_rgb(image).tolist() == [[[255, 255, 255]]]
    assert image.getpixel((0, 0)) == (10, 20, 30, 0)
