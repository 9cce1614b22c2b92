"""What an answer of a composite costs, beside its two networks as they are.

MobileNetV2 + SqueezeNet 1.1, in parallel and as a cross-skip, and Inception V3 + SqueezeNet 1.1 in
parallel, images of 100x100, batches of 1 and 32, on `--threads` threads:

- `eager`: the two torchvision networks one after the other, as they are, in evaluation mode,
  without gradients, channels first, on batches that are normalised already;
- `composite`: the composite as it is, on raw pixels, for comparison;
- `optimised`: `convgraft.export.optimized` of the composite, on raw pixels;
- `onnx`: the composite as `convgraft export` writes it, by ONNX Runtime, from raw pixels to
  probabilities;
- `product`: one product of large float32 matrices with as many multiply-accumulates as the
  composite has, for comparison: what it costs if all else were free and every layer ran at the
  machine's best.

Gates of the cross-skip are drawn from a normal distribution of deviation 0.1, so no wire is shut.
The sides take turns in one process and take turns at going first; the first call of a turn is not
counted; medians. `ratio` is the worst case's share of its goal: 0.40 of `eager` for `optimised`,
0.30 for `onnx`. Answers of both may differ from the composite's by 1e-4: logits, over the largest
of them, and probabilities.

    python benchmarks/inference.py
    python benchmarks/inference.py --seconds 3 --only cross-skip --batch 1
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convgraft.compose import Composite, compose, cost
from convgraft.export import Run, load, save
from convgraft.export.onnx_file import export_onnx, onnx_answers
from convgraft.export.optimized import difference, noise, optimized
from convgraft.layers.adapters import Gate
from convgraft.report.profile_clock import side_by_side
from convgraft.sources import source
from convgraft.sources.preprocess import IMAGENET_MEAN, IMAGENET_STD
from convgraft.strategies import STRATEGIES, Ingredients

GOALS = {"optimised": 0.40, "onnx": 0.30}
TOLERANCE = 1e-4
SIZE, CLASSES = 100, 8
INNER = 512  # side of the right matrix
BATCHES = (1, 32)
SHARED = Path(__file__).parents[2] / "shared"
JOINS = (
    ("parallel", ("mobilenet_v2", "squeezenet1_1")),
    ("cross-skip", ("mobilenet_v2", "squeezenet1_1")),
    ("parallel", ("inception_v3", "squeezenet1_1")),
)


@dataclass(frozen=True, eq=False)
class Case:
    """One composite, and every way to run it or its networks, on pixels uint8 [N, 3, S, S]."""

    name: str
    run: Run
    fast: nn.Module
    onnx: Callable[[Tensor], Any]
    networks: Sequence[nn.Module]

    def eager(self, batch: Tensor) -> list[Tensor]:
        """Logits of both networks as they are, of a normalised batch."""
        return [network(batch) for network in self.networks]

    def differences(self, images: Tensor) -> dict[str, float]:
        """How far the answers are from the composite's."""
        composite = self.run.composite
        expected = self.run.probabilities(images).numpy()
        apart = np.abs(self.onnx(images)[0] - expected).max()
        return {"optimised": difference(composite, self.fast, images), "onnx": float(apart)}


def product(macs: int) -> Callable[[Tensor], Tensor]:
    """One matrix product of about so many multiply-accumulates, none less."""
    rows = -(-macs // INNER**2)
    left, right = torch.randn(rows, INNER), torch.randn(INNER, INNER)
    result = torch.empty(rows, INNER)
    return lambda _: torch.mm(left, right, out=result)


def build(strategy: str, names: Sequence[str], weights: Path, folder: Path) -> Case:
    """A composite with open gates, saved as a run, optimised and exported."""
    specs = {name: _spec(name, weights) for name in names}
    sources = {name: source(spec) for name, spec in specs.items()}
    plan = STRATEGIES[strategy].write(Ingredients(sources, SIZE, CLASSES))
    composite = compose(plan, sources).eval()
    _as_trained(composite)
    labels = [f"class {number}" for number in range(CLASSES)]
    run = load(save(folder, composite, labels=labels))
    networks = [one.loaded().module.eval() for one in sources.values()]
    name = f"{'+'.join(names)} {strategy}"
    fast = optimized(run.composite, noise(run.composite, max(BATCHES)))
    return Case(name, run, fast, _onnx(run, torch.get_num_threads()), networks)


def _spec(name: str, weights: Path) -> str:
    """A network with its weights, or random ones where there is no file."""
    file = weights / f"{name}-imagenet.safetensors"
    return f"torchvision/{name}" + (f"@{file}" if file.is_file() else "")


@torch.no_grad()
def _as_trained(composite: Composite) -> None:
    """Open gates, and a classifier whose logits are neither zero nor so large that one wins."""
    drawn = torch.Generator().manual_seed(0)
    for module in composite.modules():
        if isinstance(module, Gate):
            module.scale.normal_(0, 0.1, generator=drawn)
    classifier = composite.get_submodule("heads.label.classifier")
    assert isinstance(classifier, nn.Linear)
    classifier.weight.normal_(0, 0.05, generator=drawn)
    classifier.weight.div_(composite(noise(composite, 8))["label"].abs().max() / 2)


def _onnx(run: Run, threads: int) -> Callable[[Tensor], Any]:
    """The run in ONNX Runtime: pixels to probabilities and label index."""
    path = run.folder / "model.onnx"
    export_onnx(run, path, layout="nchw")
    answers = onnx_answers(path.read_bytes(), threads=threads)
    return lambda images: answers(images.numpy())


def measure(case: Case, batch: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of every side, shares of `eager`, and differences."""
    pixels = torch.randint(0, 256, (batch, 3, SIZE, SIZE), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = (pixels / 255 - mean) / std
    macs = cost(case.run.composite).macs
    calls: Mapping[str, Callable[[Tensor], object]] = {
        "eager": lambda _: case.eager(normalised),
        "composite": case.run.composite,
        "optimised": case.fast,
        "onnx": case.onnx,
        "product": product(macs * batch),
    }
    taken = side_by_side(calls, pixels, seconds=seconds)
    return {
        "case": case.name,
        "batch": batch,
        "macs": macs,
        "ms": {name: round(1000 * value, 3) for name, value in taken.items()},
        "share": {name: round(taken[name] / taken["eager"], 4) for name in (*GOALS, "product")},
        "difference": case.differences(pixels),
    }


def main() -> int:
    """Measure, print one JSON line, and exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="What an answer of a composite costs.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="of every case and batch")
    parser.add_argument("--batch", type=int, action="append", help="1 and 32 by default")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    cases: list[dict[str, Any]] = []
    for strategy, names in JOINS:
        if options.only not in f"{'+'.join(names)} {strategy}":
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = build(strategy, names, options.weights, Path(folder) / "run")
            for batch in options.batch or BATCHES:
                cases.append(measure(case, batch, options.seconds))
                print(cases[-1], flush=True)
    shares = {(c["case"], c["batch"], n): c["share"][n] / GOALS[n] for c in cases for n in GOALS}
    apart = max(value for case in cases for value in case["difference"].values())
    ratio = round(max(shares.values()), 4)
    told = {"benchmark": "inference", "ratio": ratio, "goal": 1.0, "goals": GOALS}
    print(json.dumps({**told, "threads": options.threads, "difference": apart, "cases": cases}))
    return 0 if ratio <= 1 and apart <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
