"""The one pass: every network runs once over the images, and its pooled taps are kept.

In memory, and in `features/NAME.safetensors` with a key of all that they depend on, so that a
search that was killed goes on without a second pass.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from convgraft.compose import Composite, compose, cost
from convgraft.data import Pixels
from convgraft.plan import Head, Plan
from convgraft.strategies import Ingredients
from convgraft.training import Task
from convgraft.training.memory_format import fastest_format, laid_out

BATCH = 64
PARTS = ("train", "val")
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Features:
    """What one network makes of the images.

    Attributes:
        taps: names of its blocks and features, in the order in which they are computed.
        values: by part (`train`, `val`) and tap, means over positions, float32 [N, C].
        seconds: of one image's forward pass on this machine.
        macs: of one image, up to the last tap.
    """

    taps: tuple[str, ...]
    values: Mapping[str, Mapping[str, Tensor]]
    seconds: float
    macs: int


def all_features(
    given: Ingredients, task: Task, folder: Path, report: Report
) -> dict[str, Features]:
    """The features of every network, those that lie in the folder read from there."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        name: _features(given, name, task, folder / f"{name}.safetensors", report)
        for name in given.sources
    }


def _features(given: Ingredients, name: str, task: Task, path: Path, report: Report) -> Features:
    alone = replace(given, sources={name: given.sources[name]})
    features = given.features(name)
    refs = [*(ref for ref in given.side_taps(name) if ref != features), features]
    heads = tuple(Head(f"tap{place}", "tap", (ref,)) for place, ref in enumerate(refs))
    network = compose(Plan(given.image_size, alone.refs, (), heads), alone.sources).eval()
    taps = tuple(ref.tap for ref in refs)
    key = _key(network, task, taps)
    found = _read(path, key)
    if found is None:
        found = _one_pass(network, task, taps, lambda d, n: report(f"features of {name}", d, n))
        _write(path, key, found)
    return found


def _key(network: Composite, task: Task, taps: Sequence[str]) -> str:
    """A digest of weights, preprocessing, taps and images: of all that the values depend on."""
    digest = hashlib.sha256(str(network.complete_plan).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    indices = {part: task.pixels(part).indices for part in PARTS}
    told = [torch.__version__, task.images.fingerprint, task.size, list(taps), indices]
    digest.update(json.dumps(told).encode())
    return digest.hexdigest()


def _one_pass(
    network: Composite, task: Task, taps: Sequence[str], report: Callable[[int, int], None]
) -> Features:
    layout = fastest_format(network)
    began = time.monotonic()
    total = sum(len(task.pixels(part)) for part in PARTS)
    values: dict[str, dict[str, Tensor]] = {}
    done = 0
    for part in PARTS:
        pixels = task.pixels(part)
        values[part] = _pooled(
            network, pixels, taps, layout, lambda d, n=done: report(n + d, total)
        )
        done += len(pixels)
    seconds = (time.monotonic() - began) / max(total, 1)
    return Features(tuple(taps), values, seconds, cost(network).macs)


@torch.inference_mode()
def _pooled(
    network: Composite,
    pixels: Pixels,
    taps: Sequence[str],
    layout: torch.memory_format,
    report: Callable[[int], None],
) -> dict[str, Tensor]:
    rows: dict[str, list[Tensor]] = {tap: [] for tap in taps}
    for start in range(0, len(pixels), BATCH):
        outputs = network(laid_out(pixels.images[start : start + BATCH], layout))
        for place, tap in enumerate(taps):
            value = outputs[f"tap{place}"].float()
            rows[tap].append(value.mean((2, 3)) if value.dim() == 4 else value.clone())
        report(min(start + BATCH, len(pixels)))
    return {tap: torch.cat(parts) for tap, parts in rows.items()}


def _read(path: Path, key: str) -> Features | None:
    """What lies there, where it was made of the same; None otherwise."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            if told.get("key") != key:
                return None
            taps = tuple(json.loads(told["taps"]))
            values = {
                part: {tap: file.get_tensor(f"{part}/{tap}") for tap in taps} for part in PARTS
            }
    except (SafetensorError, OSError):
        return None
    return Features(taps, values, float(told["seconds"]), int(told["macs"]))


def _write(path: Path, key: str, found: Features) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"{part}/{tap}": value.contiguous()
        for part, by_tap in found.values.items()
        for tap, value in by_tap.items()
    }
    told = {
        "key": key,
        "taps": json.dumps(found.taps),
        "seconds": repr(found.seconds),
        "macs": str(found.macs),
    }
    part = path.with_name(f".{path.name}.part")
    save_file(tensors, part, metadata=told)
    part.replace(path)
