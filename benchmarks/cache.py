"""What a fit on frozen networks costs, with the store and without it.

SqueezeNet 1.1 and MobileNetV2, frozen, over natural_images at 100x100; the head that the `parallel`
strategy plans, 20 epochs; training and validation images of the split with seed 0.

- `fit`: `convgraft.training.fit` with an empty store: decoding, the frozen pass, the head.
- `by_hand`: decoding and one pass of the same networks, as fast as convgraft runs them, into
  memory, then the head trained on those tensors by a bare PyTorch loop (that of `training.py`).
- `again`: the same fit when everything is stored.
- `without`: the same fit without a store, in which the networks run in every epoch. It runs once.

`ratio` is fit over by_hand, goal 1.15; `faster` is without over fit, goal 10; `difference` is that
of the final weights with and without the store, over their norm, goal 1e-5.
The first three take turns in one process, in time by the clock on `--threads` threads; medians.

    python benchmarks/cache.py
    python benchmarks/cache.py --rounds 1 --epochs 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from convgraft.cache import Cache
from convgraft.cache.fast import FastVersion, fast_version
from convgraft.cache.frontier import find_frontier
from convgraft.cache.pixel_stream import stream_pixels
from convgraft.cache.split import front_of
from convgraft.cache.streams import run_streams, streams_on
from convgraft.cache.tuning import on_threads, tune
from convgraft.cache.values import cut_values
from convgraft.compose import Composite, compose
from convgraft.data import open_images, split_images
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, FitResult, Task, fit, work_out
from convgraft.training.freeze import apply_freeze
from training import Head, loop

GOAL, FASTER, DIFFERENCE = 1.15, 10.0, 1e-5
SIZE = 100
NETWORKS = ("squeezenet1_1", "mobilenet_v2")
SHARED = Path(__file__).parents[2] / "shared"


class Sides:
    """The ways of training the same head."""

    def __init__(self, weights: Path, data: Path, epochs: int) -> None:
        self.epochs = epochs
        self.images = open_images(str(data))
        self.split = split_images(self.images, seed=0)
        specs = {n: f"torchvision/{n}@{weights}/{n}-imagenet.safetensors" for n in NETWORKS}
        self.sources = {name: source(spec) for name, spec in specs.items()}
        classes = len(self.images.classes)
        self.plan = STRATEGIES["parallel"].write(Ingredients(self.sources, SIZE, classes))

    def fit(self, cache: Cache | None) -> tuple[float, FitResult]:
        """Seconds of a fit, and what it gives."""
        network = compose(self.plan, self.sources, seed=0)
        task = Task(self.images, self.split, SIZE, cache=cache)
        began = time.perf_counter()
        options = FitOptions(self.epochs, augment="none", accelerator="cpu")
        result = fit(network, task, PRESETS["heads-only"], options)
        return time.perf_counter() - began, result

    def by_hand(self) -> float:
        """Seconds of one frozen pass into memory and of the bare loop."""
        network = compose(self.plan, self.sources, seed=0)
        began = time.perf_counter()
        frontier = find_frontier(apply_freeze(network, work_out(PRESETS["heads-only"], network)))
        assert frontier is not None
        front = front_of(frontier, cut_values(frontier))
        sample = torch.zeros(16, 3, SIZE, SIZE, dtype=torch.uint8)
        with on_threads(1):
            fast = fast_version(front, sample)
            batch = tune(fast, sample, seconds=0.2, threads=(1,)).batch
        splits = (self.split.train, self.split.val)
        parts = [self._features(fast, batch, indices) for indices in splits]
        with on_threads(1):
            loop(Head(), parts[0], parts[1], self.epochs, fused=False)
        return time.perf_counter() - began

    def _features(
        self, fast: FastVersion, batch: int, indices: tuple[int, ...]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        pixels = stream_pixels(self.images, SIZE, None, indices=indices, batch=batch)
        streams = streams_on(torch.device("cpu"))
        rows = [values for _, values in run_streams(fast, pixels, streams)]
        columns = zip(*rows, strict=True)
        values = tuple(torch.cat(column).flatten(1).clone() for column in columns)
        return values, torch.from_numpy(self.images.labels[list(indices)])


def difference(one: Composite, other: Composite) -> float:
    """The largest relative difference of any weight tensor of the head."""
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    heads = [
        (a, b) for (name, a), b in pairs if name.startswith("heads.") and a.is_floating_point()
    ]
    return max(((a - b).norm() / b.norm().clamp(min=1e-12)).item() for a, b in heads)


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="What a fit on frozen networks costs.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "natural_images")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sides = Sides(options.weights, options.data, options.epochs)
    times: dict[str, list[float]] = {"fit": [], "again": [], "by_hand": []}
    stored: FitResult | None = None
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            cache = Cache(Path(folder), 2 * 2**30)
            ways: dict[str, Callable[[], float]] = {
                "fit": lambda cache=cache: sides.fit(cache)[0],
                "by_hand": sides.by_hand,
            }
            for name, run in ways.items():
                times[name].append(run())
            seconds, stored = sides.fit(cache)
            times["again"].append(seconds)
        print(
            f"round {number + 1}: { ({k: round(v[-1], 2) for k, v in times.items()}) }", flush=True
        )
    without, plain = sides.fit(None)
    assert stored is not None
    median = {name: statistics.median(taken) for name, taken in times.items()}
    ratio = round(median["fit"] / median["by_hand"], 4)
    faster = round(without / median["fit"], 2)
    apart = difference(stored.composite, plain.composite)
    case = {
        "images": [len(sides.split.train), len(sides.split.val)],
        "epochs": options.epochs,
        "threads": options.threads,
        **{name: round(value, 2) for name, value in median.items()},
        "without": round(without, 2),
        "faster": faster,
        "goal_faster": FASTER,
        "difference": apart,
        "goal_difference": DIFFERENCE,
    }
    print(json.dumps({"benchmark": "cache", "ratio": ratio, "goal": GOAL, "cases": [case]}))
    return 0 if ratio <= GOAL and faster >= FASTER and apart <= DIFFERENCE else 1


if __name__ == "__main__":
    sys.exit(main())
