"""Whether images stream from tar shards at a URL as they do from a local Parquet file.

CIFAR-100 is written to 50 tar shards, which `http.server` serves on this machine. What is timed is
one epoch of 50,000 images: read, decoded, resized and batched, shuffled by shard and buffer.

- `parquet`: the local file, streamed by row group.
- `cold`: the same from the URL with no shard here: they are downloaded while the epoch reads them.
  What lies where in them is known.
- `warm`: an epoch with all shards here.
- `first`: the URL for the first time, from `open_images` on: all shards are downloaded and gone
  through by their headers, which happens once, and then comes an epoch. It is compared with
  `parquet` from `open_images` on.

Each is a process of its own, and they take turns; medians over `--rounds`. `ratio` is that of
images per second of `cold` and of `parquet`; the goal is 0.9.

- `memory`: the largest resident memory of `cold` over all shards, and over a quarter of them. It
  may grow by what names, labels and order cost: 400 bytes an image.
- `coverage`: an epoch with 1, 2 and 4 worker processes; every image counts once, and all orders are
  the same.
- `kill`: a process is killed by `kill -9` in mid-epoch; another one goes on from the last step that
  it told. Together they are the epoch.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --size 64 --rounds 3
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GOAL = 0.9
BYTES_AN_IMAGE = 400
SHARDS, QUARTER = 50, 12
BATCH, SEED, EPOCH, KILLED_AT = 128, 3, 1, 150
SHARED = Path(os.environ.get("CONVGRAFT_DATA", Path(__file__).parents[2] / "shared" / "data"))


def write_shards(data: Path, folder: Path) -> int:
    """The training part as shards of equal length, each image with its class and its row."""
    from pyarrow import parquet

    table = parquet.read_table(data / "train.parquet", columns=["img", "fine_label"])
    length = -(-len(table) // SHARDS)
    folder.mkdir()
    for number in range(SHARDS):
        rows = table.slice(number * length, length).to_pylist()
        with tarfile.open(folder / f"cifar-{number:03d}.tar", "w") as tar:
            for row, sample in enumerate(rows, number * length):
                labels = json.dumps({"fine_label": sample["fine_label"], "row": row})
                _add(tar, f"{row:06d}.png", sample["img"]["bytes"])
                _add(tar, f"{row:06d}.json", labels.encode())
    return len(table)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's URL while a server of its own process serves it."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"port (\d+)", server.stdout.readline())
        assert found is not None
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        server.terminate()
        server.wait()


def stream(options: argparse.Namespace) -> dict[str, Any]:
    """One epoch in this process: seconds, peak memory, and where asked for the rows that came."""
    import torch

    from convgraft.data import Streamed, open_images
    from convgraft.training import FitOptions
    from convgraft.training.loaders import loader

    torch.set_num_threads(1)
    began = time.monotonic()
    images = open_images(options.location, target=options.target)
    opened = time.monotonic()
    settings = FitOptions(batch_size=BATCH, workers=options.workers)
    data = Streamed(images, options.size, workers=options.threads)
    epochs = loader(data, settings, shuffle=True, seed=SEED)
    rows: list[list[str]] = []
    count = 0
    for step, ((pixels,), labels) in enumerate(epochs.epoch(EPOCH, options.first), options.first):
        count += len(pixels)
        if "row" in labels:
            names = images.others["row"].classes
            rows.append([names[label] for label in labels["row"].tolist()])
        if options.tell:
            print(json.dumps([step, rows[-1]]), flush=True)
    ended = time.monotonic()
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "images": count,
        "open_seconds": opened - began,
        "seconds": ended - opened,
        "mib": kilobytes / 2**10,
        "rows": rows,
    }


def started(location: str, cache: Path, size: int, *more: str) -> subprocess.Popen[str]:
    """A process that streams one epoch."""
    command = [sys.executable, __file__, "--location", location, "--size", str(size), *more]
    environment = {**os.environ, "CONVGRAFT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it found, in its last line."""
    out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"a stream ended with {process.returncode}")
    return json.loads(out.splitlines()[-1])


def forget_copies(cache: Path) -> None:
    """Copies of shards go, their indexes stay."""
    for place in (cache / "shards").iterdir():
        if place.is_dir():
            shutil.rmtree(place)


def speeds(url: str, data: Path, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Images per second of each way, and the memory of the cold one."""
    ways: dict[str, list[float]] = {}
    found: dict[str, Any] = {}
    for number in range(options.rounds):
        cache = work / f"cache-{number}"

        def told(name: str, location: str, cache: Path = cache) -> dict[str, Any]:
            found = ended(started(location, cache, options.size, "--target", "fine_label"))
            print(
                f"{name}: open {found['open_seconds']:.2f} s, epoch {found['seconds']:.2f} s, "
                f"peak {found['mib']:.0f} MiB"
            )
            ways.setdefault(name, []).append(found["images"] / found["seconds"])
            whole = found["open_seconds"] + found["seconds"]
            ways.setdefault(f"{name} with opening", []).append(found["images"] / whole)
            return found

        told("parquet", str(data / "train.parquet"))
        told("first", f"{url}/")
        forget_copies(cache)
        found["all"] = told("cold", f"{url}/")
        told("warm", f"{url}/")
    part = f"{url}/cifar-{{000..{QUARTER - 1:03d}}}.tar"
    quarter = work / "quarter"
    ended(started(part, quarter, options.size, "--target", "fine_label"))
    forget_copies(quarter)
    found["quarter"] = ended(started(part, quarter, options.size, "--target", "fine_label"))
    return {"speeds": {n: statistics.median(v) for n, v in ways.items()}, "memory": found}


def coverage(url: str, cache: Path, size: int, total: int) -> bool:
    """Whether every number of worker processes gives each row once, in one order."""
    orders: list[list[str]] = []
    for workers in (0, 1, 2, 4):
        more = ("--target", "fine_label", "row", "--workers", str(workers))
        rows = ended(started(f"{url}/", cache, size, *more))["rows"]
        orders.append([row for batch in rows for row in batch])
        once = sorted(map(int, orders[-1])) == list(range(total))
        same = orders[-1] == orders[0]
        print(f"{workers} workers: each of {total} images once: {once}; same order: {same}")
        if not (once and same):
            return False
    return True


def killed(url: str, cache: Path, size: int, total: int) -> bool:
    """Whether an epoch that was killed, and what goes on from its last told step, are an epoch."""
    more = ("--target", "fine_label", "row", "--workers", "2", "--tell")
    process = started(f"{url}/", cache, size, *more)
    seen: list[str] = []
    done = 0
    assert process.stdout is not None
    while done < KILLED_AT:
        step, rows = json.loads(process.stdout.readline())
        seen += rows
        done = step + 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    rest = ended(started(f"{url}/", cache, size, *more[:-1], "--first", str(done)))["rows"]
    seen += [row for batch in rest for row in batch]
    once = sorted(map(int, seen)) == list(range(total))
    print(f"killed after step {done}, gone on from there: each of {total} images once: {once}")
    return once


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is measured."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        total = write_shards(options.data, work / "shards")
        with served(work / "shards") as url:
            found = speeds(url, options.data, work, options)
            cache = work / "cache-0"
            covered = coverage(url, cache, options.size, total)
            resumed = killed(url, cache, options.size, total)
    speed, memory = found["speeds"], found["memory"]
    few, many = memory["quarter"], memory["all"]
    growth = (many["mib"] - few["mib"]) * 2**20 / (many["images"] - few["images"])
    return {
        "ratio": speed["cold"] / speed["parquet"],
        "warm": speed["warm"] / speed["parquet"],
        "first": speed["first with opening"] / speed["parquet with opening"],
        "images_per_second": speed,
        "mib": {"quarter": few["mib"], "all": many["mib"]},
        "bytes_an_image": growth,
        "coverage": covered,
        "killed": resumed,
    }


def rounded(found: Any) -> Any:
    """Numbers with three places, wherever they stand."""
    if isinstance(found, dict):
        return {name: rounded(value) for name, value in found.items()}
    return round(found, 3) if isinstance(found, float) else found


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description="Streaming from shards at a URL.")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--data", type=Path, default=SHARED / "cifar100")
    parser.add_argument("--location", help=argparse.SUPPRESS)
    parser.add_argument("--target", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--tell", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.location:
        print(json.dumps(stream(options)))
        return 0
    found = rounded(measure(options))
    print(json.dumps({"benchmark": "streaming", "goal": GOAL, "size": options.size, **found}))
    right = found["coverage"] and found["killed"] and found["bytes_an_image"] <= BYTES_AN_IMAGE
    return 0 if right and found["ratio"] >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
