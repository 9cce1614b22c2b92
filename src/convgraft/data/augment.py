"""Named augmentations of training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torchvision.transforms import InterpolationMode, v2

from convgraft.errors import DataError, near_miss

AUGMENTER = 1  # to be raised when an augmentation of the same name gives other images
Augmentation = Callable[[torch.Tensor], torch.Tensor]


def _light(size: int) -> Augmentation:
    crop = v2.RandomCrop(size, padding=size // 8, padding_mode="reflect")
    return v2.Compose([crop, v2.RandomHorizontalFlip()])


def _standard(size: int) -> Augmentation:
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.6, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        ]
    )


def _digits(size: int) -> Augmentation:
    return v2.RandomAffine(
        degrees=[-10, 10],
        translate=(0.1, 0.1),
        scale=(0.9, 1.1),
        interpolation=InterpolationMode.BILINEAR,
    )


AUGMENTATIONS: Mapping[str, Callable[[int], Augmentation | None]] = MappingProxyType(
    {
        "none": lambda size: None,
        "light": _light,  # flip, crop out of a border of 1/8
        "standard": _standard,  # crop of 60 % or more, flip, mild change of colour
        "digits": _digits,  # small turn, shift and scale; no flip, which changes a digit
    }
)


def augmentation(name: str, size: int) -> Augmentation | None:
    """The augmentation of that name: uint8 [3, size, size] to the same; None for `none`.

    It draws from torch's global generator; `seeded` gives it a seed for each image.

    Raises:
        DataError: there is no such augmentation.

    >>> augmentation("none", 32) is None
    True
    """
    if name not in AUGMENTATIONS:
        raise DataError(
            f"there is no augmentation {name}",
            expected=", ".join(AUGMENTATIONS),
            hint=near_miss(name, AUGMENTATIONS),
        )
    return AUGMENTATIONS[name](size)


def seeded(augment: Augmentation, image: torch.Tensor, seed: int) -> torch.Tensor:
    """What `augment` makes of an image with that seed, wherever it is asked.

    Torch's generator is left as it was, and neither its state nor the default dtype that a
    training in float64 sets matters: it decides how many random bits a number takes.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        # Only the CPU generator: torch.manual_seed would also reseed the accelerators.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return augment(image)
    finally:
        torch.set_default_dtype(before)
