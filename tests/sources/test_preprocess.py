import pytest
import torch
import torch.nn.functional as F

from convgraft.sources import Preprocessing
from helpers import images, opened

MEAN, STD = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)


def test_normalises_channel_by_channel():
    image = images(6)
    result = Preprocessing(MEAN, STD).build()(image)
    for channel in range(3):
        expected = (image[:, channel] - MEAN[channel]) / STD[channel]
        torch.testing.assert_close(result[:, channel], expected)


@pytest.mark.parametrize("size", [None, 5, 12])
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_and_floats_of_one_image_are_equal(size: int | None, channels: int):
    settings = Preprocessing(MEAN[:channels], STD[:channels], size)
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    module = settings.build()
    assert torch.equal(module(pixels), module(pixels.float() / 255))


def test_grey_is_the_luma_of_the_colours():
    image = images(4)
    result = Preprocessing((0.5,), (0.25,)).build()(image)
    red, green, blue = image.unbind(1)
    expected = (0.299 * red + 0.587 * green + 0.114 * blue - 0.5) / 0.25
    assert result.shape == (2, 1, 4, 4)
    torch.testing.assert_close(result[:, 0], expected)


@pytest.mark.parametrize("size", [3, 8, 13])
def test_resizes_to_its_own_size_before_it_normalises(size: int):
    image = images(8)
    result = Preprocessing(MEAN, STD, size).build()(image)
    assert result.shape == (2, 3, size, size)
    resized = F.interpolate(image, (size, size), mode="bilinear", antialias=True)
    expected = (resized - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(result, expected)


def test_an_even_image_stays_even_when_resized():
    result = Preprocessing((0.0,) * 3, (1.0,) * 3, 20).build()(torch.full((1, 3, 32, 32), 0.25))
    torch.testing.assert_close(result, torch.full((1, 3, 20, 20), 0.25))


def test_constants_are_no_part_of_the_state_dict_and_move_with_the_module():
    module = Preprocessing(MEAN, STD).build()
    assert module.state_dict() == {}
    assert list(module.parameters()) == []
    assert module.double()(images(4).double()).dtype == torch.float64
    assert module.to("meta").mean.device.type == "meta"


@pytest.mark.parametrize(
    ("spec", "classes", "mean"),
    [
        ("cifar_resnet20", 10, (0.4914, 0.4822, 0.4465)),
        ("cifar_resnet20", 100, (0.5070, 0.4865, 0.4409)),
        ("torchvision/squeezenet1_1", None, (0.485, 0.456, 0.406)),
        ("timm/levit_128s", None, (0.485, 0.456, 0.406)),
        ("timm/inception_v3.tf_in1k", None, (0.5, 0.5, 0.5)),
    ],
)
def test_every_architecture_brings_its_own(spec: str, classes: int | None, mean: tuple[float, ...]):
    assert opened(spec, classes=classes).preprocessing.mean == mean
