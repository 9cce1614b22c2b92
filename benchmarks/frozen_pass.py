"""What a pass of frozen networks over an image folder costs, beside the plain way of doing it.

SqueezeNet 1.1 and MobileNetV2 over JPEG files, resized to 100x100, to the pooled features of both,
on `--threads` threads; reading, decoding and resizing count on both sides.

- `plain`: one image after the other is decoded and resized; the two original networks run in
  evaluation mode, without gradients, on normalised batches of 32.
- `fast`: the frozen pass as a fit runs it, on an empty store: the two networks made fast as one
  graph, decoding, computing and writing.

Both sides take turns in one process, in time by the clock; medians over `--rounds`. `ratio` is
fast over plain, its goal 0.40; features of both sides are compared.

    python benchmarks/frozen_pass.py
    python benchmarks/frozen_pass.py --images 600 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from convgraft.cache import Cache
from convgraft.cache.frontier import find_frontier
from convgraft.cache.frozen_pass import FrozenPass
from convgraft.cache.values import cut_values
from convgraft.compose import compose
from convgraft.data import ImageSet, decode, image_ids, open_images
from convgraft.sources import source
from convgraft.sources.preprocess import IMAGENET_MEAN, IMAGENET_STD
from convgraft.strategies import STRATEGIES, Ingredients
from convgraft.training import PRESETS, work_out
from convgraft.training.freeze import apply_freeze

GOAL = 0.40
SIZE, BATCH = 100, 32
NETWORKS = ("squeezenet1_1", "mobilenet_v2")
SHARED = Path(__file__).parents[2] / "shared"


def read(path: Path) -> Tensor:
    """One image, uint8 [3, S, S]."""
    return functional.resize(decode(path.read_bytes()), [SIZE, SIZE], antialias=True)


def originals(weights: Path) -> list[nn.Module]:
    """The networks as torchvision builds them, up to their pooled features."""
    networks = []
    for name in NETWORKS:
        network = getattr(torchvision.models, name)()
        network.load_state_dict(load_file(weights / f"{name}-imagenet.safetensors"))
        pooled = (network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        networks.append(nn.Sequential(*pooled).eval())
    return networks


@torch.no_grad()
def plain(networks: Sequence[nn.Module], paths: Sequence[Path]) -> list[Tensor]:
    """The pooled features of every network, as one would write it."""
    rows: list[list[Tensor]] = [[] for _ in networks]
    for start in range(0, len(paths), BATCH):
        images = torch.stack([read(path) for path in paths[start : start + BATCH]])
        batch = functional.normalize(images.float() / 255, [*IMAGENET_MEAN], [*IMAGENET_STD])
        for network, values in zip(networks, rows, strict=True):
            values.append(network(batch))
    return [torch.cat(values) for values in rows]


class Fast:
    """The frozen pass over some images, each time on a store of its own."""

    def __init__(self, weights: Path, images: ImageSet, rows: Sequence[int]) -> None:
        specs = {n: f"torchvision/{n}@{weights}/{n}-imagenet.safetensors" for n in NETWORKS}
        sources = {name: source(spec) for name, spec in specs.items()}
        plan = STRATEGIES["parallel"].write(Ingredients(sources, SIZE, len(images.classes)))
        network = compose(plan, sources)
        frontier = find_frontier(apply_freeze(network, work_out(PRESETS["heads-only"], network)))
        ids = image_ids(images, rows)
        assert frontier is not None and ids is not None
        self.frontier, self.images, self.rows, self.ids = frontier, images, rows, ids

    def __call__(self) -> list[Tensor]:
        """The stored features of the first batch, by network."""
        with tempfile.TemporaryDirectory() as folder:
            cache = Cache(Path(folder), 2**31)
            through = FrozenPass(self.images, self.rows, self.ids, SIZE, cache)
            values = cut_values(self.frontier)
            through.store(self.frontier, values)
            entries = [through.entry(value) for value in values]
            return [entry.read(entry.slots(self.ids[:BATCH])).flatten(1) for entry in entries]


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description="What a pass of frozen networks costs.")
    parser.add_argument("--images", type=int, default=6899)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "natural_images")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = open_images(str(options.data))
    step = max(1, len(images) // options.images)
    rows = list(range(0, len(images), step))[: options.images]
    paths = [options.data / images.ids[row] for row in rows]
    networks = originals(options.weights)
    fast = Fast(options.weights, images, rows)
    expected, values = plain(networks, paths[:BATCH]), fast()
    times: dict[str, list[float]] = {"plain": [], "fast": []}
    for number in range(options.rounds):
        start = time.perf_counter()
        plain(networks, paths)
        middle = time.perf_counter()
        fast()
        times["plain"].append(middle - start)
        times["fast"].append(time.perf_counter() - middle)
        print(f"round {number + 1}: { ({k: round(v[-1], 2) for k, v in times.items()}) }")
    median = {name: statistics.median(taken) for name, taken in times.items()}
    differences = [
        ((one - other).abs().max() / one.abs().max()).item()
        for one, other in zip(expected, values, strict=True)
    ]
    case = {
        "images": len(paths),
        "threads": options.threads,
        **{name: round(value, 3) for name, value in median.items()},
        "difference": max(differences),
    }
    ratio = round(median["fast"] / median["plain"], 4)
    print(json.dumps({"benchmark": "frozen_pass", "ratio": ratio, "goal": GOAL, "cases": [case]}))
    return 0 if ratio <= GOAL and max(differences) <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
