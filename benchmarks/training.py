"""What a fit costs beside a bare PyTorch loop that does the same arithmetic.

- `head`: the head that the `parallel` strategy plans over 512 + 1280 stored numbers an image, as
  SqueezeNet and MobileNetV2 give them; 8 classes, 4,415 training and 1,104 validation images,
  20 epochs of batches of 32. Everything below the head is frozen and runs once, before the clock.
- `network`: all of CIFAR ResNet-20 at 32x32, 200 steps of 32 images, none of it frozen.

A side does what a fit does: AdamW with two rates of decay, a cosine schedule by step, another
order in every epoch, validation after every epoch (NLL, top-1), the best epoch's weights kept. The
bare loop has its values in memory, no trainer, no callbacks, no checkpoint, and torch's defaults.
`fused_ratio` is to the same loop with torch's fused AdamW, which a fit also uses.

Networks that give the right number of features are two small random ones here: what they compute
changes neither side. `ready` is the time of a fit before its first step, mostly the frozen pass; it
is no part of the ratio. All sides take turns in one process, on one thread, in processor time;
medians over `--rounds`. `ratio` is the worst case's share of its own goal times the goal of `head`.

    python benchmarks/training.py
    python benchmarks/training.py --only head --rounds 9
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from convgraft.compose import compose
from convgraft.data import open_images, split_images
from convgraft.sources import Source, source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, Task, fit
from convgraft.training.module import FitModule
from convgraft.training.optimisers import cosine
from convgraft.zoo.networks import CifarResNet

GOAL = 1.15
BATCH, EVALUATION_BATCH = 32, 128
CUDA_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"  # set by Lightning; a bare loop would not have it


class Features(nn.Module):
    """A network of which only the number of its features matters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, width, 1), nn.Linear(width, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Head(nn.Module):
    """What the `parallel` strategy plans, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.classifier = nn.BatchNorm1d(1792, affine=False), nn.Linear(1792, 8)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(self.norm(torch.cat((first, second), 1)) * (256 / 1792) ** 0.5)


class Network(nn.Module):
    """ResNet-20 with its preprocessing."""

    def __init__(self) -> None:
        super().__init__()
        self.body = CifarResNet(20, 8)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.body((images.float() / 255 - 0.45) / 0.25)


@dataclass(frozen=True)
class Case:
    """One thing that is trained.

    Attributes:
        counts: training and validation images.
        inputs: makes so many random inputs for the bare loop.
        module: makes the network of the bare loop.
        sources: makes the sources of the fit.
    """

    name: str
    goal: float
    strategy: str
    preset: str
    size: int
    counts: tuple[int, int]
    epochs: int
    sources: Callable[[], dict[str, Source]]
    module: Callable[[], nn.Module]
    inputs: Callable[[int], tuple[Tensor, ...]]


CASES = (
    Case(
        "head",
        GOAL,
        "parallel",
        "heads-only",
        4,
        (4415, 1104),
        20,
        lambda: {"a": source(Features(512), size=4), "b": source(Features(1280), size=4)},
        Head,
        lambda count: (torch.randn(count, 512), torch.randn(count, 1280)),
    ),
    Case(
        "network",
        1.05,
        "finetune",
        "all",
        32,
        (6400, 64),
        1,
        lambda: {"a": source("cifar_resnet20")},
        lambda: Network().to(memory_format=torch.channels_last),
        lambda count: (torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8),),
    ),
)


def write_images(folder: Path, case: Case) -> None:
    """Random images of eight classes in folders, with parts of their own."""
    random = np.random.default_rng(0)
    for part, count in zip(("train", "val", "test"), (*case.counts, 8), strict=True):
        for number in range(count):
            place = folder / part / f"class{number % 8}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (case.size, case.size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png", compress_level=0)


def bare(case: Case, *, fused: bool) -> float:
    """Seconds of the bare loop."""
    torch.manual_seed(0)
    parts = [(case.inputs(n), torch.randint(0, 8, (n,))) for n in case.counts]
    module = case.module()
    before = os.environ.pop(CUDA_CHECK, None)
    start = time.process_time()
    loop(module, parts[0], parts[1], case.epochs, fused=fused)
    seconds = time.process_time() - start
    if before is not None:
        os.environ[CUDA_CHECK] = before
    return seconds


def loop(module: nn.Module, train: Any, val: Any, epochs: int, *, fused: bool) -> dict[str, Tensor]:
    """The best epoch's weights."""
    (inputs, labels), steps = train, epochs * -(-len(train[1]) // BATCH)
    decayed = [p for p in module.parameters() if p.dim() > 1]
    others = [p for p in module.parameters() if p.dim() <= 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=2e-3, fused=fused)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: cosine(step, steps))
    best: tuple[tuple[float, float], dict[str, Tensor]] | None = None
    for _ in range(epochs):
        module.train()
        if isinstance(module, Head):
            module.norm.eval()  # its statistics are those of all images
        losses: list[Tensor] = []
        for rows in torch.randperm(len(labels)).split(BATCH):
            loss = F.cross_entropy(module(*(x[rows] for x in inputs)), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        torch.stack(losses).mean().item()
        rank = score(module.eval(), *val)
        if best is None or rank > best[0]:
            best = rank, {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert best is not None
    return best[1]


@torch.inference_mode()
def score(module: nn.Module, inputs: tuple[Tensor, ...], labels: Tensor) -> tuple[float, float]:
    """Top-1, and the negative NLL."""
    starts = range(0, len(labels), EVALUATION_BATCH)
    logits = torch.cat([module(*(x[i : i + EVALUATION_BATCH] for x in inputs)) for i in starts])
    hits = (logits.argmax(1) == labels).float().mean().item()
    return hits, -F.cross_entropy(logits, labels).item()


class Fit:
    """Fits of a case, with the clock started at their first step."""

    def __init__(self, case: Case, folder: Path) -> None:
        write_images(folder, case)
        images = open_images(str(folder))
        self.case, self.ready = case, 0.0
        self.task = Task(images, split_images(images, seed=0), case.size)
        self._began = 0.0

    def seconds(self) -> float:
        """Time of one fit from its first step to its end."""
        case, opened = self.case, self.case.sources()
        plan = STRATEGIES[case.strategy].write(Ingredients(opened, case.size, 8))
        network = compose(plan, opened)
        entered = time.process_time()
        options = FitOptions(case.epochs, BATCH, augment="none", accelerator="cpu")
        FitModule.on_train_start = lambda module: self._start()  # type: ignore[method-assign]
        fit(network, self.task, PRESETS[case.preset], options)
        self.ready = self._began - entered
        return time.process_time() - self._began

    def _start(self) -> None:
        self._began = time.process_time()


def measure(case: Case, rounds: int, folder: Path) -> dict[str, Any]:
    """Both sides in turns, after one round that does not count."""
    ours = Fit(case, folder)
    sides = {
        "fit": ours.seconds,
        "bare": lambda: bare(case, fused=False),
        "bare_fused": lambda: bare(case, fused=True),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            times[name].append(run())
        print(f"{case.name}, round {number}: { ({k: round(v[-1], 3) for k, v in times.items()}) }")
    median = {name: statistics.median(found[1:]) for name, found in times.items()}
    steps = case.epochs * -(-case.counts[0] // BATCH)
    each = {f"{name}_ms_per_step": round(1e3 * t / steps, 4) for name, t in median.items()}
    return {
        "case": case.name,
        "ratio": round(median["fit"] / median["bare"], 4),
        "goal": case.goal,
        "fused_ratio": round(median["fit"] / median["bare_fused"], 4),
        "steps": steps,
        **each,
        "ready": round(ours.ready, 3),
    }


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="What a fit costs beside a bare loop.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=[case.name for case in CASES])
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CONVGRAFT_CACHE"] = str(Path(folder) / "cache")
        for case in CASES:
            if options.only in (None, case.name):
                found.append(measure(case, options.rounds, Path(folder) / case.name))
    ratio = max(round(GOAL * case["ratio"] / case["goal"], 4) for case in found)
    print(json.dumps({"benchmark": "training", "ratio": ratio, "goal": GOAL, "cases": found}))
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
