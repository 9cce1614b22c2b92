"""What the compiler costs: a composite beside the same network written by hand.

Two joins of two networks, each as a plan compiled by `convgraft.compose.compose` and as an
`nn.Module` that calls the networks' own layers in its `forward`:

- Inception V3 and SqueezeNet 1.1, exchanging `Mixed_5d` and `features.7`, images of 100x100;
- CIFAR ResNet-20 and ResNet-32, exchanging `layer1`, `layer2` and `layer3`, images of 32x32.

Both sides have the same preprocessing, adapters, gates (opened at random), head and weights. Before
a clock is read, logits and every gradient must be equal, bit for bit. Timed are the forward pass
(evaluation mode, no gradients) and a training step (forward, cross entropy, backward, SGD).
The sides take turns within one process and take turns at going first, after a warm-up of both. They
run on one thread and are timed in processor time, which is the time they would take on an idle
machine; other work on it would otherwise drown what is measured. Rounds go on until the 95 %
interval of the median paired ratio is within 0.5 % either way, or `--seconds` have passed.

`ratio` is the worst case's: median time of the composite over median time of the hand-written
network. `paired` are the quartiles of the ratios within rounds, `noise` is half that interval.

    python benchmarks/compose.py
    python benchmarks/compose.py --only cifar --batch 128 --seconds 300
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from convgraft.compose import Composite
from convgraft.opening import compile_plan
from convgraft.plan import parse_plan
from convgraft.zoo.networks import CifarResNet

GOAL = 1.02
CLASSES = 10
WARM_UP, BLOCK = 3, 8
PRECISION = 0.005

IMAGENET = """
image 100
source a = torchvision/inception_v3
source b = torchvision/squeezenet1_1
wire b:features.7 -> a:Mixed_5d join=add adapter=conv1x1 start=zero
wire a:Mixed_5d -> b:features.7 join=add adapter=conv1x1 start=zero
head label = linear(a:features, b:features) classes=10
"""
CIFAR = """
image 32
source a = cifar_resnet20
source b = cifar_resnet32
wire b:layer1 -> a:layer1 join=add adapter=conv1x1 start=zero
wire a:layer1 -> b:layer1 join=add adapter=conv1x1 start=zero
wire b:layer2 -> a:layer2 join=add adapter=conv1x1 start=zero
wire a:layer2 -> b:layer2 join=add adapter=conv1x1 start=zero
wire b:layer3 -> a:layer3 join=add adapter=conv1x1 start=zero
wire a:layer3 -> b:layer3 join=add adapter=conv1x1 start=zero
head label = linear(a:features, b:features) classes=10
"""


class Gate(nn.Module):
    """One learned factor per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.view(-1, 1, 1)


class Head(nn.Module):
    """Standardised features, of a total variance of at most 256, and one linear layer."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = min(1.0, (256 / features) ** 0.5)
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.classifier = nn.Linear(features, CLASSES)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.classifier(self.scale * self.norm(torch.cat([a, b], 1)))


def adapter(channels_in: int, channels_out: int, **resize: nn.Module) -> nn.Sequential:
    """A gated 1x1 convolution; `pool` comes before it, `upsample` after."""
    layers = {"mix": nn.Conv2d(channels_in, channels_out, 1), "gate": Gate(channels_out), **resize}
    order = [name for name in ("pool", "mix", "upsample", "gate") if name in layers]
    return nn.Sequential(OrderedDict((name, layers[name]) for name in order))


class InceptionSqueezeNet(nn.Module):
    """The first join, by hand: 12x12 maps of SqueezeNet meet 10x10 maps of Inception."""

    mean: Tensor
    std: Tensor

    def __init__(self, inception: models.Inception3, squeezenet: models.SqueezeNet) -> None:
        super().__init__()
        layers = list(inception.children())
        middle = layers.index(inception.Mixed_5d) + 1
        self.a_early, self.a_late = nn.Sequential(*layers[:middle]), nn.Sequential(*layers[middle:])
        self.b_early, self.b_late = squeezenet.features[:8], squeezenet.features[8:]
        self.to_a = adapter(256, 288, pool=nn.AdaptiveAvgPool2d(10))
        self.to_b = adapter(288, 256, upsample=nn.Upsample((12, 12), mode="bilinear"))
        self.head = Head(2048 + 512)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = (image - self.mean) / self.std
        a, b = self.a_early(x), self.b_early(x)
        a, b = a + self.to_a(b), b + self.to_b(a)
        return self.head(torch.flatten(self.a_late(a), 1), self.b_late(b).mean((2, 3)))


class TwoResNets(nn.Module):
    """The second join, by hand: same shapes, an exchange after every stage."""

    mean: Tensor
    std: Tensor

    def __init__(self, a: CifarResNet, b: CifarResNet) -> None:
        super().__init__()
        self.a, self.b = a, b
        self.to_a = nn.ModuleList(adapter(width, width) for width in (16, 32, 64))
        self.to_b = nn.ModuleList(adapter(width, width) for width in (16, 32, 64))
        self.head = Head(64 + 64)
        self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2023, 0.1994, 0.2010]).view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = (image - self.mean) / self.std
        a = self.a.relu(self.a.bn1(self.a.conv1(x)))
        b = self.b.relu(self.b.bn1(self.b.conv1(x)))
        a, b = self.a.layer1(a), self.b.layer1(b)
        a, b = a + self.to_a[0](b), b + self.to_b[0](a)
        a, b = self.a.layer2(a), self.b.layer2(b)
        a, b = a + self.to_a[1](b), b + self.to_b[1](a)
        a, b = self.a.layer3(a), self.b.layer3(b)
        a, b = a + self.to_a[2](b), b + self.to_b[2](a)
        a, b = self.a.avgpool(a), self.b.avgpool(b)
        return self.head(torch.flatten(a, 1), torch.flatten(b, 1))


@dataclass(frozen=True)
class Pair:
    """The same network twice."""

    name: str
    size: int
    composite: Composite
    by_hand: nn.Module


def inception_squeezenet() -> Pair:
    composite = opened(IMAGENET)
    parts = composite.get_submodule
    inception = models.inception_v3(weights=None, init_weights=False, aux_logits=False)
    del inception.fc
    inception.load_state_dict(parts("sources.a").state_dict())
    squeezenet = models.squeezenet1_1(weights=None)
    squeezenet.features.load_state_dict(parts("sources.b.features").state_dict())
    by_hand = InceptionSqueezeNet(inception, squeezenet)
    by_hand.to_a.load_state_dict(parts("adapters.b:features/7->a:Mixed_5d").state_dict())
    by_hand.to_b.load_state_dict(parts("adapters.a:Mixed_5d->b:features/7").state_dict())
    by_hand.head.load_state_dict(parts("heads.label").state_dict())
    return Pair("inception_v3 + squeezenet1_1", 100, composite, by_hand)


def two_resnets() -> Pair:
    composite = opened(CIFAR)
    parts = composite.get_submodule
    by_hand = TwoResNets(CifarResNet(20), CifarResNet(32))
    for name in ("a", "b"):
        network = by_hand.get_submodule(name)
        del network.fc
        network.load_state_dict(parts(f"sources.{name}").state_dict())
    for index, stage in enumerate(("layer1", "layer2", "layer3")):
        to_a = parts(f"adapters.b:{stage}->a:{stage}").state_dict()
        to_b = parts(f"adapters.a:{stage}->b:{stage}").state_dict()
        by_hand.to_a[index].load_state_dict(to_a)
        by_hand.to_b[index].load_state_dict(to_b)
    by_hand.head.load_state_dict(parts("heads.label").state_dict())
    return Pair("cifar_resnet20 + cifar_resnet32", 32, composite, by_hand)


def opened(text: str) -> Composite:
    """The compiled plan, its gates open, so that the wires carry something."""
    composite = compile_plan(parse_plan(text))
    torch.manual_seed(0)
    for name, parameter in composite.named_parameters():
        if name.endswith("gate.scale"):
            nn.init.normal_(parameter, std=0.1)
    return composite


Step = Callable[[Tensor, Tensor], Any]


def forward_of(network: nn.Module) -> Step:
    """Evaluate one batch."""
    network.eval()

    @torch.no_grad()
    def forward(images: Tensor, labels: Tensor) -> Any:
        return network(images)

    return forward


def training_step_of(network: nn.Module) -> Step:
    """Learn from one batch."""
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)

    def training_step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(logits_of(network, images), labels).backward()
        optimizer.step()

    return training_step


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    answers = network(images)
    return answers["label"] if isinstance(answers, dict) else answers


def assert_equal(pair: Pair, images: Tensor, labels: Tensor) -> None:
    """Equal logits in both modes, equal gradients, equally many weights, bit for bit."""
    found = [_evidence(network, images, labels) for network in (pair.composite, pair.by_hand)]
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other), f"{pair.name}: the two networks do not compute the same"


def _evidence(network: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Logits in evaluation and in training mode, and all gradients in the order of their norm."""
    with torch.no_grad():
        evaluated = logits_of(network.eval(), images)
    torch.manual_seed(0)
    trained = logits_of(network.train(), images)
    F.cross_entropy(trained, labels).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert len(gradients) == len(list(network.parameters()))
    network.zero_grad()
    gradients.sort(key=lambda g: (g.numel(), float(g.double().norm())))
    return [evaluated, trained.detach(), *gradients]


@dataclass(frozen=True)
class Timing:
    """Seconds of processor time of both sides, round by round."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def paired(self) -> list[float]:
        """Quartiles of the ratios within rounds."""
        ratios = [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]
        return statistics.quantiles(ratios, n=4)

    @property
    def noise(self) -> float:
        """Half the 95 % interval of the median paired ratio (McGill, Tukey and Larsen 1978)."""
        low, _, high = self.paired
        return 1.57 * (high - low) / len(self.ours) ** 0.5

    @property
    def settled(self) -> bool:
        return len(self.ours) >= 3 * BLOCK and self.noise < PRECISION


def take_turns(ours: Step, theirs: Step, batch: tuple[Tensor, Tensor], seconds: float) -> Timing:
    """Rounds of both until the noise is low enough; who goes first changes every round."""
    timing = Timing([], [])
    deadline = time.monotonic() + seconds
    sides = [(ours, timing.ours), (theirs, timing.theirs)]
    for _ in range(WARM_UP):
        for step, _ in sides:
            step(*batch)
    gc.collect()
    gc.disable()
    while not timing.settled and (not timing.ours or time.monotonic() < deadline):
        for number in range(BLOCK):
            for step, times in sides if number % 2 else sides[::-1]:
                torch.manual_seed(number)
                started = time.process_time()
                step(*batch)
                times.append(time.process_time() - started)
    gc.enable()
    return timing


def cases(pair: Pair, batch_size: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Both timings of one pair."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch_size, 3, pair.size, pair.size, generator=generator)
    labels = torch.randint(CLASSES, (batch_size,), generator=generator)
    assert_equal(pair, images, labels)
    for what, make in {"forward": forward_of, "training step": training_step_of}.items():
        sides = make(pair.composite), make(pair.by_hand)
        timing = take_turns(*sides, (images, labels), seconds)
        yield {
            "case": f"{pair.name}, batch {batch_size}, {what}",
            "ratio": round(timing.ratio, 4),
            "paired": [round(quartile, 4) for quartile in timing.paired],
            "noise": round(timing.noise, 4),
            "rounds": len(timing.ours),
            "milliseconds": [
                round(statistics.median(times) * 1e3, 1) for times in (timing.ours, timing.theirs)
            ],
        }


PAIRS: dict[str, Callable[[], Pair]] = {"inception": inception_squeezenet, "cifar": two_resnets}


def main() -> None:
    """Time every case; one line each on stderr, one JSON line at the end."""
    parser = argparse.ArgumentParser(description="A composite beside the same network by hand.")
    parser.add_argument("--seconds", type=float, default=120, help="at most so long per case")
    parser.add_argument("--batch", type=int, default=32, help="images at once")
    parser.add_argument("--only", default="", help="only pairs whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    for make in (make for name, make in PAIRS.items() if options.only in name):
        for case in cases(make(), options.batch, options.seconds):
            print(_row(case), file=sys.stderr, flush=True)
            found.append(case)
    worst = max(case["ratio"] for case in found)
    print(json.dumps({"benchmark": "compose", "ratio": worst, "goal": GOAL, "cases": found}))


def _row(case: dict[str, Any]) -> str:
    ours, theirs = case["milliseconds"]
    return (
        f"{case['case']:58} {ours:8.1f} ms, by hand {theirs:8.1f} ms, ratio {case['ratio']:.4f} "
        f"± {case['noise']:.4f} in {case['rounds']} rounds"
    )


if __name__ == "__main__":
    main()
