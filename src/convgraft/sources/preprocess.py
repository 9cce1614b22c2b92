"""Each network's own preprocessing, as numbers in a value and as a module for the graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.errors import SourceError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights Pillow uses for RGB to grey


@dataclass(frozen=True)
class Preprocessing:
    """What one network wants its images to be.

    Attributes:
        mean, std: per channel, of images scaled to [0, 1]; their length is the number of channels
            that the network takes (3, or 1 for grey).
        size: side in pixels the image is resized to before the network, None to take it as it is.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    size: int | None = None

    @property
    def channels(self) -> int:
        """Channels that the network takes."""
        return len(self.mean)

    def adjusted(
        self, mean: Sequence[float] | None, std: Sequence[float] | None, size: int | None
    ) -> Preprocessing:
        """This with what is given in place of its own; raises SourceError for what cannot be."""
        found = Preprocessing(
            self.mean if mean is None else tuple(map(float, mean)),
            self.std if std is None else tuple(map(float, std)),
            self.size if size is None else size,
        )
        if len(found.mean) != len(found.std) or len(found.mean) not in (1, 3):
            raise SourceError(
                "mean and std have one number per channel each, 3 for colour or 1 for grey",
                found=f"{len(found.mean)} means and {len(found.std)} standard deviations",
            )
        if not all(map(math.isfinite, (*found.mean, *found.std))):
            raise SourceError("mean and std are finite numbers", found=f"{found.mean}, {found.std}")
        if min(found.std) <= 0 or (found.size is not None and found.size < 1):
            raise SourceError(
                "standard deviations and sizes are above 0", found=f"{found.std}, {found.size}"
            )
        return found

    def build(self) -> Preprocess:
        """The module that does it."""
        return Preprocess(self)


class Preprocess(nn.Module):
    """RGB images, uint8 [0, 255] or float [0, 1], [N, 3, S, S], to what one network expects.

    It has no weights; its constants are not part of the state dict, because the plan holds them.
    """

    mean: Tensor
    std: Tensor
    luma: Tensor

    def __init__(self, settings: Preprocessing) -> None:
        super().__init__()
        self.settings = settings
        shape = (1, settings.channels, 1, 1)
        self.register_buffer("mean", torch.tensor(settings.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(settings.std).view(shape), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, S, S] to [N, channels, size, size], normalised."""
        x = image
        if x.dtype == torch.uint8:
            x = x.to(self.mean.dtype) / 255
        if self.settings.channels == 1:
            x = (x * self.luma).sum(1, keepdim=True)
        side = self.settings.size
        if side is not None and side != x.shape[-1]:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        """Settings, for printing."""
        return str(self.settings)
