"""Fits one after another in this process, and tells of each in one JSON line: see long_run.py.

python tests/faults/long_fit.py FOLDER
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import sys
import time
from itertools import count
from pathlib import Path

from campaigns import reach_helpers
from safetensors.numpy import load_file
from steady import handles_of, memory_of

WAYS = (
    ("--strategy", "cross-skip", "--epochs", 2),
    ("--strategy", "parallel", "--freeze", "heads-only", "--epochs", 2),
    ("--strategy", "ladder", "--head", "ridge"),
)


def main(folder: Path) -> None:
    """Fit until this process is ended."""
    from helpers_cli import write_pictures

    pictures = write_pictures(folder / "pictures", 8)
    first: dict[int, str] = {}
    for number in count():
        way = number % len(WAYS)
        wrong, digest = fit(pictures, folder, way)
        if not wrong and digest != first.setdefault(way, digest):
            wrong = "other weights than the first time"
        gc.collect()  # files of a store are open until what looks at them is gone
        told = {"memory": memory_of(), "handles": handles_of(), "seconds": time.monotonic()}
        print(json.dumps({"way": str(WAYS[way][1]), "wrong": wrong, **told}), flush=True)


def fit(pictures: Path, folder: Path, way: int) -> tuple[str, str]:
    """What went wrong in one fit on an empty store, and the digest of the weights it ended in."""
    from helpers_cli import convgraft

    out, store = folder / "run", folder / "store"
    for place in (out, store):
        shutil.rmtree(place, ignore_errors=True)
    os.environ["CONVGRAFT_CACHE"] = str(store)
    outcome = convgraft(
        "fit", pictures, "--models", "cifar_resnet20", "cifar_resnet20", "--image-size", 16,
        "--batch-size", 8, "--out", out, *WAYS[way],
    )  # fmt: skip
    if outcome.code:
        return f"exit code {outcome.code}: {outcome.err[-500:]}", ""
    return "", _digest(out / "model.safetensors")


def _digest(path: Path) -> str:
    """Of the values: the file's header has its entries in any order."""
    digest = hashlib.sha256()
    for name, value in sorted(load_file(path).items()):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    reach_helpers()
    main(Path(sys.argv[1]))
