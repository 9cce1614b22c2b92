"""How cost grows with sources, wires and images: exponents, 1 is linear.

- `sources`: 1, 2, 4, 8 CIFAR ResNet-20 at 32x32 under one head (`parallel`), all learning: opening
  them, plan and `compose`, a step of 16 images, memory of the fit. `wired` is the same with the
  wires of `cross-skip`, by the nodes of the composite's graph. `frozen` is the same with stored
  values: the frozen pass over 512 images, a step of the head, bytes of the store.
- `wires`: two ResNet-56 at 16x16 and 6 to 48 wires between their blocks: `compose`, a step.
- `images`: 10^3 to 10^6 synthetic images of 8x8 in a memory-mapped file, a small network. `images`
  trains it on decoded pixels, which are memory-mapped as well; `images, stored` trains a head on
  the store. Fingerprint, split and ids of the images; getting ready (decoding, the frozen pass);
  one epoch; memory; bytes of the store.
- `channels`: what the sums of matching take of two taps; it is no part of the goal, as covariances
  grow with the square of the channels by nature (and not with images at all).

Seconds are processor time of all threads. Memory is the most that the process held, beyond what it
held after its imports, without pages of mapped files, which the system may drop. A case is a
process of its own. An exponent is the slope of a line through logarithms of cost by size (least
squares), its spread the standard error of that slope; `last` is the slope between the two largest
sizes, where fixed costs hide least.

`ratio` is the worst exponent; its goal is 1.1: linear, and a tenth for what timing is off by.

    python benchmarks/scale.py
    python benchmarks/scale.py --quick --only images
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import convgraft.data.pixels
from convgraft.cache import Cache
from convgraft.compose import compose
from convgraft.data import ImageSet, image_ids, split_images
from convgraft.data.imageset import fingerprint, frozen_labels
from convgraft.match.all_pairs import AllPairs
from convgraft.plan import Head, Plan, TapRef, Wire
from convgraft.sources import Source, source
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, FitOptions, Task, fit

GOAL = 1.1
CLASSES = 10
STORE = 64 * 2**30  # bytes that the store may take
LOOK = 0.02  # seconds between two looks at the memory

Costs = dict[str, float]


class Small(nn.Module):
    """A network that a million images are quick to go through."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU()
        self.conv2, self.norm = nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.relu(self.norm(self.conv2(self.relu(self.conv(x)))))
        return self.fc(torch.flatten(self.pool(x), 1))


def held() -> float:
    """MiB of memory that are not pages of files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 2**10
    raise OSError("this system does not tell")


@contextlib.contextmanager
def most_held() -> Iterator[list[float]]:
    """A list whose only number is, in the end, the MiB held at most, beyond those held before."""
    before, over, found = held(), threading.Event(), [0.0]

    def watch() -> None:
        while not over.wait(LOOK):
            found[0] = max(found[0], held() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def synthetic(count: int, size: int, folder: Path) -> ImageSet:
    """Grey noise in a memory-mapped file."""
    shape = (count, size, size)
    pixels = np.memmap(folder / "pixels", np.uint8, "w+", shape=shape)
    random = np.random.default_rng(0)
    for start in range(0, count, 2**16):
        part = pixels[start : start + 2**16]
        part[:] = random.integers(0, 256, part.shape, dtype=np.uint8)
    pixels = np.memmap(folder / "pixels", np.uint8, "r", shape=shape)
    ids = tuple(f"class{number % CLASSES}/image_{number:09d}.png" for number in range(count))
    labels = frozen_labels(np.arange(count) % CLASSES)
    classes = tuple(map(str, range(CLASSES)))
    return ImageSet(
        "synthetic",
        "memory map",
        None,
        classes,
        ids,
        labels,
        None,
        fingerprint("memory map", None, classes, ids, labels, ()),
        lambda index: pixels[index],
        stamps=lambda rows: [f"{folder}/pixels {row}" for row in rows],
    )


class Clock:
    """Processor time at every step of a fit."""

    def __init__(self) -> None:
        self.began = time.process_time()
        self.at: list[float] = []

    def __call__(self, done: int, total: int) -> None:
        self.at.append(time.process_time())

    @property
    def ready(self) -> float:
        """Seconds until the first step was done."""
        return self.at[0] - self.began

    @property
    def step(self) -> float:
        """Milliseconds of a step, the median."""
        steps = zip(self.at[1:], self.at, strict=False)
        return 1e3 * statistics.median(later - earlier for later, earlier in steps)

    @property
    def epoch(self) -> float:
        """Seconds of the steps of one epoch."""
        return (self.at[-1] - self.at[0]) * len(self.at) / (len(self.at) - 1)


def taken(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it gives."""
    began = time.process_time()
    given = work()
    return time.process_time() - began, given


def trained(plan: Plan, sources: Mapping[str, Source], task: Task, *, learns: bool) -> Clock:
    """A fit of one epoch."""
    clock = Clock()
    preset, batch = PRESETS["all" if learns else "heads-only"], 16 if task.size > 8 else 128
    network = compose(plan, sources)
    fit(network, task, preset, FitOptions(1, batch, accelerator="cpu"), on_progress=clock)
    return clock


def by_sources(count: int, folder: Path, strategy: str = "parallel") -> Costs:
    """Everything learns."""
    with most_held() as memory:
        opening, sources = taken(lambda: networks("cifar_resnet20", count))
        given = Ingredients(sources, 32, CLASSES)
        planning, plan = taken(lambda: STRATEGIES[strategy].write(given))
        composing, network = taken(lambda: compose(plan, sources))
        images = synthetic(300, 32, folder)
        task = Task(images, split_images(images, seed=0), 32, cache=None)
        clock = trained(plan, sources, task, learns=True)
    costs = {"size": len(network.graph.nodes)} if strategy != "parallel" else {}
    costs |= {"open, s": opening, "plan and compose, s": planning + composing}
    return {**costs, "step, ms": clock.step, "memory, MiB": memory[0]}


def by_frozen_sources(count: int, folder: Path) -> Costs:
    """Only the head learns."""
    sources = networks("cifar_resnet20", count)
    plan = STRATEGIES["parallel"].write(Ingredients(sources, 32, CLASSES))
    images = synthetic(640, 32, folder)  # of which 512 train or validate
    cache = Cache(folder / "store", STORE)
    task = Task(images, split_images(images, seed=0), 32, cache=cache)
    clock = trained(plan, sources, task, learns=False)
    return {"frozen pass, s": clock.ready, "step, ms": clock.step, "store, bytes": cache.size()}


def by_wires(count: int, folder: Path) -> Costs:
    """Adds through 3x3 blocks between blocks of the same shape, there and back."""
    sources = networks("cifar_resnet56", 2)
    blocks = [f"layer{stage}.{number}" for stage in (1, 2, 3) for number in range(9)]
    pairs = [("s0", "s1", block) for block in blocks] + [("s1", "s0", block) for block in blocks]
    chosen = pairs[:: len(pairs) // count][:count]
    wires = tuple(
        Wire((TapRef(a, x),), TapRef(b, x), "add", "conv1x1", "zero") for a, b, x in chosen
    )
    features = (TapRef("s0", "features"), TapRef("s1", "features"))
    head = Head("label", "linear", features, classes=CLASSES)
    refs = Ingredients(sources, 16, CLASSES).refs
    plan = Plan(16, refs, wires, (head,))
    composing, _ = taken(lambda: compose(plan, sources))
    images = synthetic(300, 16, folder)
    task = Task(images, split_images(images, seed=0), 16, cache=None)
    clock = trained(plan, sources, task, learns=True)
    return {"compose, s": composing, "step, ms": clock.step}


def by_images(count: int, folder: Path, *, learns: bool = True) -> Costs:
    """A small network on many images."""
    convgraft.data.pixels.IN_MEMORY_BYTES = 0  # decoded pixels lie in a mapped file
    cache = None if learns else Cache(folder / "store", STORE)
    with most_held() as memory:
        images = synthetic(count, 8, folder)
        printing = taken(
            lambda: fingerprint("", None, images.classes, images.ids, images.labels, ())
        )[0]
        splitting, split = taken(lambda: split_images(images, seed=0))
        naming, _ = taken(lambda: image_ids(images, split.train))
        task = Task(images, split, 8, cache=cache)
        sources = {"s0": source(Small(), size=8)}
        plan = STRATEGIES["parallel"].write(Ingredients(sources, 8, CLASSES))
        clock = trained(plan, sources, task, learns=learns)
    costs = {"fingerprint, split, ids, s": printing + splitting + naming}
    costs |= {"ready, s": clock.ready, "epoch, s": clock.epoch, "memory, MiB": memory[0]}
    return costs if cache is None else {**costs, "store, bytes": cache.size()}


def by_channels(count: int, folder: Path) -> Costs:
    """Two taps of so many channels each, on the same grid."""
    tap = (count, 8, 8)
    return {"sums of matching, bytes": AllPairs([tap], [tap]).bytes}


def networks(spec: str, count: int) -> dict[str, Source]:
    """Random networks of one kind."""
    return {f"s{n}": source(spec, classes=CLASSES, seed=n) for n in range(count)}


@dataclass(frozen=True)
class Row:
    """One thing that grows.

    Attributes:
        sizes: what is measured; the last one is left out with `--quick`.
        measure: costs at a size, by name; `size` among them takes its place.
        counts: whether it is part of the goal.
    """

    sizes: tuple[int, ...]
    measure: Callable[[int, Path], Costs]
    counts: bool = True


ROWS: Mapping[str, Row] = {
    "sources": Row((1, 2, 4, 8), by_sources),
    "wired": Row((2, 4, 8), lambda n, folder: by_sources(n, folder, "cross-skip")),
    "frozen": Row((1, 2, 4, 8), by_frozen_sources),
    "wires": Row((6, 12, 24, 48), by_wires),
    "images": Row((10**3, 10**4, 10**5, 10**6), by_images),
    "images, stored": Row(
        (10**3, 10**4, 10**5, 10**6), lambda n, folder: by_images(n, folder, learns=False)
    ),
    "channels": Row((64, 256, 1024), by_channels, counts=False),
}


def alone(name: str, size: int) -> Costs:
    """The costs of one case, from a process of its own that has its imports from this one."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=tell, args=(name, size, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        sys.exit(f"{name} {size}: the process ended without a word")
    finally:
        child.join()


def tell(name: str, size: int, pipe: Connection) -> None:
    """Measure one case."""
    with tempfile.TemporaryDirectory() as folder:
        pipe.send(ROWS[name].measure(size, Path(folder)))


def growth(sizes: Sequence[float], costs: Sequence[float]) -> dict[str, float]:
    """The slope of log cost by log size, its standard error, and the slope at the end."""
    x, y = np.log(np.array(sizes, float)), np.log(np.array(costs, float))
    slope, start = np.polyfit(x, y, 1)
    left = y - slope * x - start
    spread = math.sqrt((left**2).sum() / max(1, len(x) - 2) / ((x - x.mean()) ** 2).sum())
    last = (y[-1] - y[-2]) / (x[-1] - x[-2])
    return {"exponent": round(slope, 3), "spread": round(spread, 3), "last": round(last, 3)}


def measured(name: str, row: Row, *, quick: bool) -> list[dict[str, Any]]:
    """All costs of a row at all sizes, and how each grows."""
    asked = row.sizes[:-1] if quick else row.sizes
    found = [alone(name, size) for size in asked]
    sizes = [int(costs.pop("size", size)) for costs, size in zip(found, asked, strict=True)]
    cases = []
    for cost in found[0]:
        values = [float(f"{costs[cost]:.5g}") for costs in found]
        grown = growth(sizes, values)
        cases.append({"by": name, "cost": cost, "sizes": sizes, "costs": values, **grown})
        told = ", ".join(f"{value:g}" for value in values)
        print(
            f"{name} {sizes}: {cost}: {told}; exponent {grown['exponent']:.2f} "
            f"+- {grown['spread']:.2f}, last {grown['last']:.2f}",
            flush=True,
        )
    return [{**case, "counts": row.counts} for case in cases]


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description="How cost grows.")
    parser.add_argument("--quick", action="store_true", help="without the largest sizes")
    parser.add_argument("--only", choices=list(ROWS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases: list[dict[str, Any]] = []
    for name, row in ROWS.items():
        if options.only in (None, name):
            cases += measured(name, row, quick=options.quick)
    ratio = max((case["exponent"] for case in cases if case["counts"]), default=0.0)
    print(json.dumps({"benchmark": "scale", "ratio": ratio, "goal": GOAL, "cases": cases}))
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
