"""Of `convgraft profile`: what is measured, and with which engines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from convgraft.cache.tuning import on_threads
from convgraft.cli.console import say
from convgraft.export import Run
from convgraft.export.optimized import Optimized, noise, optimized
from convgraft.report.profile import (
    Profile,
    costs_of_composite,
    costs_of_packed,
    profile_parts,
)
from convgraft.report.profile_clock import side_by_side

SECONDS = 2.0  # of each measurement
ONNX_FILE = "model.onnx"


def measure(run: Run, batch_size: int, threads: int | None) -> Profile:
    """A run's profile, for one image and for `batch_size` at once, on noise."""
    with on_threads(threads) if threads else nullcontext():
        return _measure(run, batch_size, torch.get_num_threads())


def _measure(run: Run, batch_size: int, threads: int) -> Profile:
    composite = run.composite.eval()
    batches = {count: noise(composite, count) for count in sorted({1, batch_size})}
    fast = optimized(composite, noise(composite, batch_size))
    eager = costs_of_composite(composite, batches, seconds=SECONDS)
    graph = fast.network.network
    assert isinstance(graph, fx.GraphModule), "only what is compiled is no graph"
    quick = costs_of_packed(graph, composite, _laid_out(batches, fast), seconds=SECONDS)
    calls: dict[str, Callable[[Tensor], Any]] = {
        "eager": composite,
        "packed": fast.network,
        "optimised": fast,
    }
    onnx = onnx_call(run.folder / ONNX_FILE, threads)
    if onnx is not None:
        calls["ONNX Runtime"] = onnx
    whole: dict[str, dict[int, float]] = {engine: {} for engine in calls}
    for count, images in batches.items():
        for engine, seconds in side_by_side(calls, images, seconds=SECONDS).items():
            whole[engine][count] = seconds
    peaks = {"eager": eager.peak, "packed": quick.peak}
    return Profile(profile_parts(composite, eager, quick), whole, peaks, threads, fast.steps)


def _laid_out(batches: dict[int, Tensor], fast: Optimized) -> dict[int, Tensor]:
    layout = fast.network.layout
    return {n: images.contiguous(memory_format=layout) for n, images in batches.items()}


def onnx_call(path: Path, threads: int) -> Callable[[Tensor], Any] | None:
    """A call of an exported file by ONNX Runtime; None where there is no file or no runtime."""
    if not path.is_file():
        return None
    try:
        import onnxruntime
    except ImportError:
        say(f"{path} is left out: onnxruntime is missing; pip install 'convgraft[onnx]'")
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds, all straight below Exception
        say(f"{path} is left out: {str(error).splitlines()[0]}")
        return None
    given = session.get_inputs()[0]
    last = given.shape[-1] == 3  # channels

    def call(images: Tensor) -> Any:
        pixels = images.permute(0, 2, 3, 1).contiguous() if last else images
        return session.run(None, {given.name: pixels.numpy()})

    return call
