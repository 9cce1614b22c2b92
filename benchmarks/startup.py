"""How long `convgraft --help` takes, beside importing torch and torchvision.

Measured are whole processes, from start to exit: `python -c "import torch, torchvision"`,
`python -m convgraft --help`, and the installed `convgraft --help` where there is one beside this
Python. They take turns, so that other work on the machine falls on all of them alike; each time is
the median of 15 runs after one run to warm the disk cache.

`ratio` is the slower of the two helps over the import.

    python benchmarks/startup.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

RUNS = 15
GOAL = 0.2
REFERENCE = "import torch, torchvision"


def main() -> None:
    """Time every command; one line each on stderr, one JSON line at the end."""
    times = _interleaved(_commands())
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    cases = []
    for name, median in medians.items():
        ratio = median / medians[REFERENCE]
        print(f"{name:28} {median:7.3f} s  {ratio:6.3f}", file=sys.stderr)
        cases.append({"command": name, "seconds": round(median, 4), "ratio": round(ratio, 4)})
    worst = max(case["ratio"] for case in cases if case["command"] != REFERENCE)
    print(json.dumps({"benchmark": "startup", "ratio": worst, "goal": GOAL, "cases": cases}))


def _commands() -> dict[str, list[str]]:
    commands = {
        REFERENCE: [sys.executable, "-c", REFERENCE],
        "python -m convgraft --help": [sys.executable, "-m", "convgraft", "--help"],
    }
    script = Path(sys.executable).parent / "convgraft"
    if script.exists():
        commands["convgraft --help"] = [str(script), "--help"]
    return commands


def _interleaved(commands: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """Seconds of every run by command, the first of each left out."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS + 1):
        for name, command in commands.items():
            times[name].append(_seconds(command))
    return {name: taken[1:] for name, taken in times.items()}


def _seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
