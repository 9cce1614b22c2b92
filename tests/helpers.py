"""What several tests need: small networks, short ways to write plans, and exact comparisons."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from convgraft.plan import Head, Plan, SourceRef, TapRef, Wire
from convgraft.sources import Source, source
from convgraft.zoo.networks import CifarResNet

tap = TapRef.parse


class Tiny(nn.Module):
    """Two convolutions with an in-place ReLU over a batch norm, and a linear classifier."""

    def __init__(self, *, channels: int = 3, width: int = 8, classes: int = 5, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(channels, width, 3, 2, 1)
            self.bn = nn.BatchNorm2d(width)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(width, width, 3, 2, 1)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        return self.fc(torch.flatten(self.pool(self.conv2(x)), 1))


@lru_cache(maxsize=32)
def opened(spec: str, *, classes: int | None = None, seed: int = 0) -> Source:
    """A source by its spec, opened once for all tests; nothing may change its module."""
    return source(spec, classes=classes, seed=seed)


@lru_cache(maxsize=32)
def small(seed: int = 0, *, classes: int = 10) -> Source:
    """A CIFAR ResNet of depth 8 as a source; nothing may change its module."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return source(CifarResNet(8, classes))


def images(size: int = 32, count: int = 2, *, seed: int = 1) -> Tensor:
    """Random RGB images in [0, 1], [count, 3, size, size]."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def wire(text: str, join: str = "add", adapter: str = "conv1x1", start: str = "zero") -> Wire:
    """`wire("a:layer1, b:layer1 -> c:layer1")`."""
    inputs, _, target = text.partition("->")
    return Wire(tuple(map(tap, inputs.split(","))), tap(target), join, adapter, start)


def head(name: str, kind: str, *inputs: str, **options: Any) -> Head:
    """`head("label", "linear", "a:fc", classes=3)`."""
    return Head(name, kind, tuple(map(tap, inputs)), **options)


def plan_for(
    sources: Mapping[str, Source],
    *,
    wires: Iterable[Wire] = (),
    heads: Iterable[Head] = (),
    size: int = 32,
) -> Plan:
    """A plan over opened sources, under the names they have here."""
    refs = tuple(SourceRef(name, opened_source.spec) for name, opened_source in sources.items())
    return Plan(size, refs, tuple(wires), tuple(heads))


def run_alone(opened_source: Source, image: Tensor, *, training: bool, seed: int = 3) -> Any:
    """What a source's own network answers to an image, on a copy of it."""
    network = copy.deepcopy(opened_source.module).train(training)
    torch.manual_seed(seed)
    return network(opened_source.preprocessing.build()(image))


def run(network: nn.Module, image: Tensor, *, training: bool, seed: int = 3) -> Any:
    """What a network answers in a mode, its random layers seeded."""
    network.train(training)
    torch.manual_seed(seed)
    return network(image)


def same(first: Any, second: Any) -> bool:
    """Whether two results, however nested, are equal bit for bit."""
    ours, our_form = tree_flatten(first)
    theirs, their_form = tree_flatten(second)
    return our_form == their_form and all(map(_same_value, ours, theirs))


def _same_value(first: Any, second: Any) -> bool:
    return torch.equal(first, second) if isinstance(first, Tensor) else first == second


def same_state(first: nn.Module, second: nn.Module) -> bool:
    """Whether two networks have the same names with the same numbers."""
    return same(dict(first.state_dict()), dict(second.state_dict()))


def count_calls(module: nn.Module) -> Callable[[], int]:
    """Count the calls of a module from now on; the function returned tells how many."""
    calls: list[None] = []
    module.register_forward_hook(lambda *_: calls.append(None))
    return lambda: len(calls)
