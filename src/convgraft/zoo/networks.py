"""Networks that come with convgraft: the CIFAR ResNets and the paper's 16-layer CNN."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: [N, C_in, H, W] to [N, C_out, H/stride, W/stride].

    The shortcut is a strided 1x1 convolution where shapes change (option B).
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """relu(conv2(relu(conv1(x))) + shortcut(x)), each convolution with its batch norm."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + shortcut)


class CifarResNet(nn.Module):
    """The CIFAR ResNet of He et al. 2015 (arXiv:1512.03385), section 4.2; depth is 6n + 2.

    Takes [N, 3, H, W] (32x32 in the paper), gives logits [N, num_classes].
    """

    def __init__(self, depth: int, num_classes: int = 10) -> None:
        super().__init__()
        if depth % 6 != 2:
            raise ValueError(f"the depth of a CIFAR ResNet is 6n + 2, not {depth}")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(16, 16, blocks, 1)
        self.layer2 = _stage(16, 32, blocks, 2)
        self.layer3 = _stage(32, 64, blocks, 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes] of normalised images [N, 3, H, W]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


class ResidualGroup(nn.Module):
    """Four convolution blocks (conv, batch norm, ReLU) and one residual connection around them.

    [N, C_in, H, W] to [N, C_out, H, W]; the residual is a 1x1 convolution where widths differ.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        widths = [in_channels, *[channels] * 4]
        self.blocks = nn.Sequential(
            *(_conv_block(width, channels) for width in widths[:4]),
        )
        self.residual: nn.Module = nn.Identity()
        if in_channels != channels:
            self.residual = nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """blocks(x) + residual(x)."""
        return self.blocks(x) + self.residual(x)


def _conv_block(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            bn=nn.BatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
        )
    )


class Custom16(nn.Module):
    """The 16-layer CNN of "Transferred Fusion Learning using Skipped Networks".

    Sixteen convolutions (conv, batch norm, ReLU) in four stages of four, a residual connection
    after every fourth block, max pooling after each stage. Takes [N, 3, H, W] with H, W >= 16,
    gives logits [N, num_classes].
    """

    def __init__(self, num_classes: int = 10, width: int = 32) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.stage1 = ResidualGroup(3, widths[0])
        self.pool1 = nn.MaxPool2d(2)
        self.stage2 = ResidualGroup(widths[0], widths[1])
        self.pool2 = nn.MaxPool2d(2)
        self.stage3 = ResidualGroup(widths[1], widths[2])
        self.pool3 = nn.MaxPool2d(2)
        self.stage4 = ResidualGroup(widths[2], widths[3])
        self.pool4 = nn.MaxPool2d(2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[-1], num_classes)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes] of normalised images [N, 3, H, W]."""
        x = self.pool1(self.stage1(x))
        x = self.pool2(self.stage2(x))
        x = self.pool3(self.stage3(x))
        x = self.pool4(self.stage4(x))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
