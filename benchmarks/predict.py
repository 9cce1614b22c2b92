"""How fast `convgraft predict` is beside its two halves alone, and whether its memory grows.

MobileNetV2 and SqueezeNet 1.1 in `parallel` at 100x100, heads untrained, over JPEG files, on
`--workers` cores, in images a second:

- `decode`: files to pixels alone, on threads; `decode_processes`: the same on processes, which
  share no interpreter lock.
- `network`: pixels in memory to probabilities alone, a stream of batches on each core;
  `network_threads`: batch after batch, each on all cores.
- `pipeline`: files to rows in a CSV file, everything together.

Each half counts with the faster of its two ways. Both need the cores, so no pipeline is faster than
`ideal`, 1 / (1/decode + 1/network). That is slower than the slower half alone, and at most half as
fast as the faster one. `ratio` is pipeline over the slower half, which bounds any pipeline; goal
0.80. `of_ideal` and `of_faster` are told too. All take turns in one process, in time by the clock;
medians over `--rounds`.

Memory is the largest resident one of a process of its own, over `--few` and `--many` files (links
to the same ones); goal: within 5 % of each other.

    python benchmarks/predict.py
    python benchmarks/predict.py --images 300 --rounds 1 --few 100 --many 600
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from convgraft.compose import compose
from convgraft.export import load, save
from convgraft.predict import Classifier, answer_files, open_classifier
from convgraft.predict.files import image_names
from convgraft.predict.reading import read_images
from convgraft.predict.resume import Output
from convgraft.predict.rows import RowForm
from convgraft.sources import source
from convgraft.strategies import STRATEGIES, Ingredients

GOAL, MEMORY_GOAL = 0.80, 1.05
SIZE, BATCH = 100, 32
NETWORKS = ("mobilenet_v2", "squeezenet1_1")
SHARED = Path(__file__).parents[2] / "shared"
# getrusage would tell of this process too, of which the other one was a copy at first
MEASURED = """
import sys
from pathlib import Path
from convgraft.cli.main import main
try:
    main()
finally:
    lines = Path("/proc/self/status").read_text().splitlines()
    print("peak", next(line for line in lines if "VmHWM" in line).split()[1], file=sys.stderr)
"""


def make_run(folder: Path, weights: Path, classes: Sequence[str]) -> Path:
    """A run of both networks with an untrained head, exported where that is installed."""
    specs = {n: f"torchvision/{n}@{weights}/{n}-imagenet.safetensors" for n in NETWORKS}
    sources = {name: source(spec) for name, spec in specs.items()}
    torch.manual_seed(0)
    plan = STRATEGIES["parallel"].write(Ingredients(sources, SIZE, len(classes)))
    save(folder, compose(plan, sources).eval(), labels=classes)
    from convgraft.export.onnx_file import export_onnx

    export_onnx(load(folder), folder / "model.onnx", optimize=True)
    return folder


def decode(names: Sequence[str]) -> None:
    """One batch to pixels, on one core."""
    torch.set_num_threads(1)
    read_images(names, SIZE)


def over(pool: Executor, work: Callable[[Any], Any], batches: Sequence[Any]) -> None:
    """All batches through a pool."""
    for _ in pool.map(work, batches):
        pass


def pipeline(names: Sequence[str], asked: Classifier, workers: int, folder: Path) -> None:
    """All files to rows."""
    output = Output(folder / "rows.csv", "csv", RowForm(asked.labels), {}, overwrite=True)
    left = output.remaining(iter(names))
    for answers in answer_files(left, asked, workers=workers):
        output.add(answers)
    output.finish()


def peak(run: Path, engine: str, files: Sequence[str], count: int) -> float:
    """Largest resident memory of `convgraft predict` over so many links to files, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "images").mkdir()
        for number in range(count):
            name = f"{number:06}{Path(files[number % len(files)]).suffix}"
            (Path(folder) / "images" / name).symlink_to(Path(files[number % len(files)]).resolve())
        arguments = ["predict", str(run), f"{folder}/images", "--out", f"{folder}/rows.csv"]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments, "--engine", engine],
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(done.stderr)
    told = next(line for line in done.stderr.splitlines() if line.startswith("peak "))
    return int(told.split()[1]) / 2**10


def measure(
    run: Path, engine: str, names: Sequence[str], options: argparse.Namespace
) -> dict[str, float]:
    """Images a second of the halves and of the whole."""
    asked = open_classifier(run, engine=engine, threads=1)
    whole = open_classifier(run, engine=engine, threads=options.workers)
    parts = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    held = [read_images(part, SIZE)[0] for part in parts[:8]]
    pixels = [held[number % len(held)] for number in range(len(parts))]
    processes = ProcessPoolExecutor(options.workers, get_context("spawn"))
    threads = ThreadPoolExecutor(options.workers, initializer=torch.set_num_threads, initargs=(1,))
    with processes, threads, tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], object]] = {
            "decode": lambda: over(threads, decode, parts),
            "decode_processes": lambda: over(processes, decode, parts),
            "network": lambda: over(threads, asked.probabilities, pixels),
            "network_threads": lambda: [whole.probabilities(batch) for batch in pixels],
            "pipeline": lambda: pipeline(names, asked, options.workers, Path(folder)),
        }
        over(processes, decode, parts[: 4 * options.workers])  # their imports are no decoding
        asked.probabilities(pixels[0])
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                speeds[name].append(len(names) / (time.perf_counter() - began))
            last = {name: round(values[-1], 1) for name, values in speeds.items()}
            print(f"{engine}, round {number + 1}: {last}", flush=True)
    return {name: statistics.median(values) for name, values in speeds.items()}


def case(engine: str, speeds: dict[str, float], memory: Sequence[float]) -> dict[str, Any]:
    """What was measured of one engine, and the ratios."""
    halves = (
        max(speeds["decode"], speeds["decode_processes"]),
        max(speeds["network"], speeds["network_threads"]),
    )
    ideal = 1 / sum(1 / half for half in halves)
    return {
        "engine": engine,
        **{name: round(speed, 1) for name, speed in speeds.items()},
        "ideal": round(ideal, 1),
        "ratio": round(speeds["pipeline"] / min(halves), 4),
        "of_ideal": round(speeds["pipeline"] / ideal, 4),
        "of_faster": round(speeds["pipeline"] / max(halves), 4),
        "most_of_faster": round(ideal / max(halves), 4),
        "mib": [round(one) for one in memory],
        "memory": round(memory[1] / memory[0], 4),
    }


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="How fast files are predicted.")
    parser.add_argument("--images", type=int, default=6899)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=60_000)
    parser.add_argument("--engines", nargs="+", default=["onnx", "torch"])
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "natural_images")
    options = parser.parse_args()
    torch.set_num_threads(options.workers)
    names = list(image_names([str(options.data)]))
    names = names[:: max(1, len(names) // options.images)][: options.images]
    classes = sorted(path.name for path in options.data.iterdir() if path.is_dir())
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", options.weights, classes)
        speeds = {engine: measure(run, engine, names, options) for engine in options.engines}
        for engine in options.engines:
            counts = (options.few, options.many)
            memory = [peak(run, engine, names, count) for count in counts]
            cases.append(case(engine, speeds[engine], memory))
            print(cases[-1], flush=True)
    ratio = min(one["ratio"] for one in cases)
    print(json.dumps({"benchmark": "predict", "ratio": ratio, "goal": GOAL, "cases": cases}))
    flat = all(one["memory"] <= MEMORY_GOAL for one in cases)
    return 0 if ratio >= GOAL and flat else 1


if __name__ == "__main__":
    sys.exit(main())
