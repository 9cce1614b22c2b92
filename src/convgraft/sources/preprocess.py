"""Each network's own preprocessing, as numbers in a value and as a module for the graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
