"""What matching costs: moments of all pairs of taps beside the forward pass that it needs anyway.

SqueezeNet 1.1 and MobileNetV2 at 100x100, every block of the one with every block of the other, on
2,000 images: debiased CKA, and the least-squares map in both directions with its held-out R^2.

- `forward`: both networks' plain forward pass over the same images.
- `match`: `convgraft.match.match_taps` and all of its tables.
- `pair_by_pair`: what one would do by hand: for each pair, run both networks over all images, and
  solve for the map in both directions from the same sampled positions. It is timed for `--pairs`
  pairs and scaled to all.

All sides take turns in one process, on one thread, in processor time; medians over `--rounds`.
`ratio` is match over forward, its goal 2; `speedup` is pair by pair over match, its goal 20.
Weights are random, images too: neither changes the arithmetic.

    python benchmarks/match.py
    python benchmarks/match.py --images 200 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from convgraft.match import match_taps
from convgraft.match.matching import BATCH, POSITIONS
from convgraft.sources import Source, Tap, source

GOAL, SPEEDUP = 2.0, 20.0
SIZE = 100


def blocks(one: Source) -> list[Tap]:
    """The blocks of a network that are maps."""
    return [tap for tap in one.survey(SIZE).taps if tap.kind == "block" and tap.is_map]


@torch.inference_mode()
def forward(networks: list[Source], images: Tensor) -> None:
    """Both networks over all images, as they would be run alone."""
    for one in networks:
        module = one.module.eval()
        for start in range(0, len(images), BATCH):
            module(images[start : start + BATCH].float() / 255)


def match(networks: list[Source], taps: list[list[Tap]], images: Tensor) -> None:
    """Everything that matching tells of those taps."""
    left, right = networks
    matching = match_taps(left, right, images, *taps, image_size=SIZE)
    for table in (matching.cka, matching.forward, matching.backward):
        assert table.shape == (len(taps[0]), len(taps[1]))


def seconds(work: Callable[[], None]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="What matching costs.")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=2, help="pairs that are timed one by one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (options.images, 3, SIZE, SIZE), dtype=torch.uint8)
    networks = [source("torchvision/squeezenet1_1"), source("torchvision/mobilenet_v2")]
    taps = [blocks(one) for one in networks]
    every = [([a], [b]) for a in taps[0] for b in taps[1]]
    chosen = every[:: max(1, len(every) // options.pairs)][: options.pairs]
    forward(networks, images[:BATCH])
    match(networks, taps, images[:BATCH])
    times: dict[str, list[float]] = {"forward": [], "match": [], "pair_by_pair": []}
    for number in range(options.rounds):
        times["forward"].append(seconds(lambda: forward(networks, images)))
        times["match"].append(seconds(lambda: match(networks, taps, images)))
        one_by_one = [seconds(lambda p=pair: match(networks, [*p], images)) for pair in chosen]
        times["pair_by_pair"].append(statistics.mean(one_by_one) * len(every))
        print(f"round {number + 1}: { ({k: round(v[-1], 2) for k, v in times.items()}) }")
    median = {name: statistics.median(values) for name, values in times.items()}
    case = {
        "pairs": len(every),
        "images": options.images,
        "positions": POSITIONS,
        **{name: round(value, 3) for name, value in median.items()},
        "speedup": round(median["pair_by_pair"] / median["match"], 2),
        "speedup_goal": SPEEDUP,
    }
    ratio = round(median["match"] / median["forward"], 4)
    print(json.dumps({"benchmark": "match", "ratio": ratio, "goal": GOAL, "cases": [case]}))
    return 0 if ratio <= GOAL and case["speedup"] >= SPEEDUP else 1


if __name__ == "__main__":
    sys.exit(main())
