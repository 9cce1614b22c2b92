"""Small random networks, each with a second description of itself: the steps that it takes.

`RandomNetwork.forward` is ordinary PyTorch, in-place writes included. `RandomNetwork.steps` says
the same once more, value by value and by tap name, for an interpreter that knows nothing of the
first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Step:
    """One value of a network.

    Attributes:
        tap: its name; `aliases` stand for it too.
        does: a word of the interpreter.
        inputs: taps that it reads, after their joins; `raw:TAP` reads one before its joins.
        weights: path of the module whose weights it takes.
        numbers: stride, padding and groups of a convolution; kernel and stride of a pooling.
    """

    tap: str
    does: str
    inputs: tuple[str, ...]
    weights: str = ""
    numbers: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()


class Layer(nn.Module):
    """Convolution, maybe a batch norm, maybe an activation that may overwrite what it reads."""

    def __init__(
        self,
        given: random.Random,
        channels: int,
        width: int,
        *,
        stride: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        kernel = given.choice((1, 3, 3, 5))
        groups = given.choice((1, 1, channels)) if channels == width else 1
        self.settings = stride, kernel // 2, groups
        has_norm = given.random() < 0.7
        biased = not has_norm or given.random() < 0.3
        self.conv = nn.Conv2d(
            channels, width, kernel, stride, kernel // 2, groups=groups, bias=biased
        )
        self.bn = nn.BatchNorm2d(width) if has_norm else None
        self.relu = nn.ReLU(inplace=given.random() < 0.5) if active else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if self.bn is None else self.bn(x)
        return x if self.relu is None else self.relu(x)

    def steps(self, path: str, entry: str) -> Iterator[Step]:
        yield Step(f"{path}.conv", "conv", (entry,), f"{path}.conv", self.settings)
        last = f"{path}.conv"
        if self.bn is not None:
            yield Step(f"{path}.bn", "norm", (last,), f"{path}.bn")
            last = f"{path}.bn"
        if self.relu is not None:
            yield Step(f"{path}.relu", "relu", (last,), aliases=(path,))


class Residual(nn.Module):
    """relu(layer(x) + x), the sum maybe in place."""

    def __init__(self, given: random.Random, width: int) -> None:
        super().__init__()
        self.layer = Layer(given, width, width, active=False)
        self.overwrites, self.relu = given.random() < 0.5, nn.ReLU(inplace=given.random() < 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if self.overwrites:
            y += x
        else:
            y = y + x
        return self.relu(y)

    def steps(self, path: str, entry: str) -> Iterator[Step]:
        steps = [*self.layer.steps(f"{path}.layer", entry)]
        yield from steps
        yield Step(f"{path}.add", "add", (steps[-1].tap, entry))
        yield Step(f"{path}.relu", "relu", (f"{path}.add",), aliases=(path,))


class Overwriting(nn.Module):
    """conv(relu(x)) + x, where the ReLU has overwritten x by then."""

    def __init__(self, given: random.Random, width: int) -> None:
        super().__init__()
        self.entry, self.relu = nn.Conv2d(width, width, 1), nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = self.conv(self.relu(x))
        return y + x

    def steps(self, path: str, entry: str) -> Iterator[Step]:
        yield Step(f"{path}.entry", "conv", (entry,), f"{path}.entry", (1, 0, 1))
        yield Step(f"{path}.relu", "relu", (f"{path}.entry",))
        yield Step(f"{path}.conv", "conv", (f"{path}.relu",), f"{path}.conv", (1, 1, 1))
        yield Step(path, "add", (f"{path}.conv", f"raw:{path}.relu"))


class Branches(nn.Module):
    """Two layers beside each other, concatenated; twice as wide."""

    def __init__(self, given: random.Random, width: int) -> None:
        super().__init__()
        self.left, self.right = Layer(given, width, width), Layer(given, width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], 1)

    def steps(self, path: str, entry: str) -> Iterator[Step]:
        yield from self.left.steps(f"{path}.left", entry)
        yield from self.right.steps(f"{path}.right", entry)
        yield Step(path, "cat", (f"{path}.left.relu", f"{path}.right.relu"))


class RandomNetwork(nn.Module):
    """A stem, up to three blocks, pooling and a dense layer."""

    def __init__(self, seed: int, *, channels: int = 3) -> None:
        super().__init__()
        given = random.Random(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            width = given.randint(2, 6)
            self.classes = given.choice((3, 3, 4))
            self.stem = Layer(given, channels, width, stride=given.choice((1, 2)))
            self.shrink = nn.MaxPool2d(2) if given.random() < 0.3 else None
            self.blocks = nn.ModuleList()
            for _ in range(given.randint(0, 3)):
                block, width = _block(given, width)
                self.blocks.append(block)
            self.pool = nn.AdaptiveAvgPool2d(1) if given.random() < 0.6 else None
            self.dropout = nn.Dropout(0.4) if given.random() < 0.3 else None
            self.fc = nn.Linear(width, self.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x if self.shrink is None else self.shrink(x)
        for block in self.blocks:
            x = block(x)
        x = x.mean((2, 3)) if self.pool is None else torch.flatten(self.pool(x), 1)
        return self.fc(x if self.dropout is None else self.dropout(x))

    def steps(self) -> Iterator[Step]:
        """Every value, in order; `input` comes first, `fc` last."""
        yield from self.stem.steps("stem", "input")
        last = "stem.relu"
        if self.shrink is not None:
            yield Step("shrink", "maximum", (last,), numbers=(2, 2))
            last = "shrink"
        for number, block in enumerate(self.blocks):
            for step in block.steps(f"blocks.{number}", last):
                yield step
                last = step.tap
        if self.pool is not None:
            yield Step("pool", "mean map", (last,))
            yield Step("flatten", "flat", ("pool",))
        else:
            yield Step("mean", "mean", (last,))
        last = "mean" if self.pool is None else "flatten"
        if self.dropout is not None:
            yield Step("dropout", "same", (last,))
            last = "dropout"
        yield Step("fc", "dense", (last,), "fc")


def _block(given: random.Random, width: int) -> tuple[nn.Module, int]:
    kind = given.choice(("layer", "layer", "residual", "residual", "overwriting", "branches"))
    if kind == "residual":
        return Residual(given, width), width
    if kind == "overwriting":
        return Overwriting(given, width), width
    if kind == "branches":
        return Branches(given, width), 2 * width
    wider = given.randint(2, 8)
    return Layer(given, width, wider, stride=given.choice((1, 2))), wider
