"""Whether a fit on stored values needs more memory for more images.

`convgraft fit --strategy ladder` of the CIFAR-100 ResNet-20 and ResNet-32, frozen, on all of
CIFAR-100 (50,000 images, and 10,000 to test on) and on a tenth of it (5,000 and 1,000). Each twice
on a store of its own: the first fit runs the frozen pass, the second finds everything stored. Each
is a process of its own; what is compared is the largest resident memory of its life.

`ratio` is that of the second fit on all images over that on a tenth; goal 1.2.

    python benchmarks/cache_memory.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pyarrow import parquet

GOAL = 1.2
SHARED = Path(__file__).parents[2] / "shared"
MEASURED = """
import resource, sys
from convgraft.cli.main import main
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def tenth(data: Path, folder: Path) -> Path:
    """A tenth of the rows of both parts, as they come."""
    for name in ("train.parquet", "test.parquet"):
        table = parquet.read_table(data / name)
        parquet.write_table(table.slice(0, len(table) // 10), folder / name)
    return folder


def peak(data: Path, folder: Path, options: argparse.Namespace) -> float:
    """Largest resident memory of one fit, in MiB."""
    models = [f"cifar_resnet{n}@{options.weights}/cifar100_resnet{n}.safetensors" for n in (20, 32)]
    arguments = [
        *("fit", str(data), "--models", *models, "--strategy", "ladder"),
        *("--target", "fine_label", "--image-size", "32", "--epochs", str(options.epochs)),
        *("--overwrite", "--json", "--out", str(folder / "run")),
    ]
    environment = {**os.environ, "CONVGRAFT_CACHE": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    kilobytes = next(line for line in done.stderr.splitlines() if line.startswith("peak "))
    return int(kilobytes.split()[1]) / 2**10


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description="Memory of a fit on stored values.")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "cifar100")
    options = parser.parse_args()
    peaks: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for data in (tenth(options.data, Path(folder)), options.data):
            with tempfile.TemporaryDirectory() as work:
                peaks.append([peak(data, Path(work), options) for _ in range(2)])
            print(f"first fit {peaks[-1][0]:.0f} MiB, second {peaks[-1][1]:.0f}")
    cases: list[dict[str, Any]] = [
        {"fit": name, "mib": [round(few), round(many)], "ratio": round(many / few, 4)}
        for name, few, many in zip(("first", "second"), *peaks, strict=True)
    ]
    ratio = cases[1]["ratio"]
    print(json.dumps({"benchmark": "cache_memory", "ratio": ratio, "goal": GOAL, "cases": cases}))
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
