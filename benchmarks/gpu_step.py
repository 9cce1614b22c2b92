"""A training step of two wired networks, bf16 and compiled, beside eager float32 steps of both.

- `eager_parts`: a step of each network alone, one after the other: float32, uncompiled, with its
  own loss and optimiser. What one would do without convgraft.
- `eager`: a step of the composite that the `cross-skip` strategy plans (as in the paper: two-way
  adds through 3x3 blocks), float32, uncompiled.
- `compiled`: a step of the composite under bf16 autocast, loss and gradients through
  `CompiledLoss`, as `--compile --precision bf16-mixed` trains.

A step is: a batch already on the device, loss, gradients, AdamW (fused). All in channels last; the
sides take turns, by the clock; medians. `ratio` is compiled over eager_parts; its goal is 1: wires
and head for nothing. `images_per_second` is that of each side.

On CUDA the networks are Inception V3 and SqueezeNet 1.1, batches of 64 at 299x299. Without a GPU
the case is a small one (networks of two layers, 16 images of 32x32), which says that the path works
and nothing of what a GPU gains; then no goal is missed. Weights are random: they change nothing.

    python benchmarks/gpu_step.py
    python benchmarks/gpu_step.py --batch-size 128 --rounds 20
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convgraft.compose import Composite, compose
from convgraft.plan import Plan, SourceRef
from convgraft.sources import Source, source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training.compiled_step import CompiledLoss

GOAL = 1.0
CLASSES = 10

Batch = tuple[tuple[Tensor, ...], dict[str, Tensor]]
Loss = Callable[[tuple[Tensor, ...], Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Case:
    """What is trained where.

    Attributes:
        name: of the networks.
        size, batch: side of an image in pixels, images of a step.
        sources: makes the networks.
        rounds: steps of each side that count.
    """

    name: str
    device: str
    size: int
    batch: int
    rounds: int
    sources: Callable[[], dict[str, Source]]


def large() -> dict[str, Source]:
    """The networks of the paper's best pair."""
    names = ("inception_v3", "squeezenet1_1")
    return {name: source(f"torchvision/{name}", classes=CLASSES) for name in names}


def small() -> dict[str, Source]:
    """Networks that a CPU compiles in a minute."""
    return {name: source(Small(), size=32) for name in ("a", "b")}


def case_of(device: str) -> Case:
    """The case of a device."""
    if device == "cuda":
        return Case("inception_v3 + squeezenet1_1", device, 299, 64, 20, large)
    return Case("two networks of two layers", device, 32, 16, 50, small)


class Small(nn.Module):
    """Two stages of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1, self.stage2 = _stage(3, 16), _stage(16, 32)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.fc(torch.flatten(self.pool(self.stage2(self.stage1(x))), 1))


def _stage(channels: int, width: int) -> nn.Module:
    conv = nn.Conv2d(channels, width, 3, 2, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


class Step:
    """Steps of one network."""

    def __init__(self, network: Composite, answer: str, case: Case, *, fast: bool) -> None:
        self.network = network.to(case.device).to(memory_format=torch.channels_last).train()
        self.answer, self.device, self.fast = answer, case.device, fast
        self.loss: Loss = CompiledLoss(self.plain_loss) if fast else self.plain_loss
        self.moved = torch.optim.AdamW(self.network.parameters(), lr=1e-4, fused=True)

    def plain_loss(self, inputs: tuple[Tensor, ...], labels: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of the answer."""
        return F.cross_entropy(self.network(*inputs)[self.answer], labels[""])

    def __call__(self, batch: Batch) -> None:
        """One step."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.fast):
            loss = self.loss(*batch)
        self.moved.zero_grad()
        loss.backward()
        self.moved.step()


def alone(name: str, one: Source, case: Case) -> Step:
    """A network by itself, as the composite of an empty plan."""
    plan = Plan(case.size, (SourceRef(name, one.spec),), (), ())
    return Step(compose(plan, {name: one}), name, case, fast=False)


def random_batch(case: Case) -> Batch:
    """Images and labels on the device."""
    shape = (case.batch, 3, case.size, case.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (case.batch,))
    placed = images.to(case.device).to(memory_format=torch.channels_last)
    return (placed,), {"": labels.to(case.device)}


def seconds(work: Callable[[], None], device: str) -> float:
    """By the clock, until the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def sides_of(case: Case) -> dict[str, Callable[[Batch], None]]:
    """The three ways."""
    sources = case.sources()
    plan = STRATEGIES["cross-skip"].write(Ingredients(sources, case.size, CLASSES))
    parts = [alone(name, one, case) for name, one in sources.items()]

    def both(batch: Batch) -> None:
        for part in parts:
            part(batch)

    return {
        "eager_parts": both,
        "eager": Step(compose(plan, sources), "label", case, fast=False),
        "compiled": Step(compose(plan, sources), "label", case, fast=True),
    }


def measure(case: Case) -> dict[str, Any]:
    """All sides in turns, after the first step of each, which also compiles."""
    sides, batch = sides_of(case), random_batch(case)
    ready = {name: seconds(partial(side, batch), case.device) for name, side in sides.items()}
    print(f"first steps, in seconds: { ({n: round(s, 1) for n, s in ready.items()}) }", flush=True)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(case.rounds):
        for name, side in sides.items():
            times[name].append(seconds(partial(side, batch), case.device))
    median = {name: statistics.median(found) for name, found in times.items()}
    return {
        "case": case.name,
        "device": torch.cuda.get_device_name() if case.device == "cuda" else "cpu",
        "size": case.size,
        "batch": case.batch,
        **{f"{name}_ms": round(1e3 * taken, 3) for name, taken in median.items()},
        "images_per_second": {n: round(case.batch / taken, 1) for n, taken in median.items()},
        "ratio": round(median["compiled"] / median["eager_parts"], 4),
        "eager_ratio": round(median["compiled"] / median["eager"], 4),
        "compile_seconds": round(ready["compiled"], 1),
    }


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where a goal is missed on a GPU."""
    parser = argparse.ArgumentParser(description="What a training step costs on a GPU.")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--batch-size", type=int)
    options = parser.parse_args()
    torch.manual_seed(0)
    has_gpu = torch.cuda.is_available()
    case = case_of("cuda" if has_gpu else "cpu")
    changed = {"rounds": options.rounds, "batch": options.batch_size}
    case = replace(case, **{name: value for name, value in changed.items() if value})
    if not has_gpu:
        print("no GPU is here: a small case on the CPU, which says nothing of a GPU")
    found = measure(case)
    told = {"benchmark": "gpu_step", "ratio": found["ratio"], "goal": GOAL}
    print(json.dumps({**told, "device": found["device"], "cases": [found]}))
    return 1 if has_gpu and found["ratio"] > GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
