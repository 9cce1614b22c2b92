import pytest
import torch

from convgraft.data import AUGMENTATIONS, augmentation
from convgraft.errors import DataError


def test_the_names():
    assert set(AUGMENTATIONS) == {"none", "light", "standard", "digits"}
    assert augmentation("none", 32) is None


@pytest.mark.parametrize("name", ["light", "standard", "digits"])
@pytest.mark.parametrize("size", [1, 8, 33])
def test_size_and_type_stay_and_the_image_is_left_alone(name: str, size: int):
    torch.manual_seed(0)
    image = torch.randint(0, 256, (3, size, size), dtype=torch.uint8)
    before = image.clone()
    augment = augmentation(name, size)
    assert augment is not None
    seen = [augment(image) for _ in range(8)]
    assert all((view.shape, view.dtype) == (image.shape, torch.uint8) for view in seen)
    assert (image == before).all()
    if size > 1:
        assert len({view.numpy().tobytes() for view in seen}) > 1


def flips(name: str) -> int:
    """How often of 40 a bright left edge comes out on the right."""
    torch.manual_seed(0)
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    image[:, :, :6] = 255
    augment = augmentation(name, 16)
    assert augment is not None
    views = [augment(image).float() for _ in range(40)]
    return sum(bool(view[:, :, 8:].mean() > view[:, :, :8].mean()) for view in views)


def test_digits_are_never_flipped_and_others_are():
    assert flips("digits") == 0
    assert 5 < flips("light") < 35
    assert 5 < flips("standard") < 35


def test_an_unknown_name():
    with pytest.raises(DataError) as caught:
        augmentation("standart", 32)
    assert caught.value.hint == "did you mean standard?"
