"""What an image takes on this machine: a measurement of the machine, and no result of an arm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import torch

from convgraft.compose import Composite
from convgraft.opening.memory_format import fastest_format, laid_out
from convgraft.studies.failures import finished

LATENCY = "latency"
BATCHES = (1, 32)  # images at once
FORWARDS, WARM_UP = 5, 1
SECONDS = 0.7  # of a batch size, after which no other pass is begun


def known_latency(lines: Sequence[Mapping[str, Any]], arm: str, macs: int) -> Any:
    """What another cell's line says of the same arm; None where none does.

    An arm that costs other multiply-accumulates there is another network.
    """
    for line in finished(lines):
        if (line["arm"], line["macs"]) == (arm, macs) and LATENCY in line:
            return line[LATENCY]
    return None


@torch.inference_mode()
def latency_of(network: Composite, batches: Sequence[int] = BATCHES) -> dict[str, float]:
    """Milliseconds that an image takes, by how many there are at once.

    The median of a few passes in evaluation mode, where the network is, uncompiled, after a pass
    that is not counted. No more passes are begun once they have taken most of a second, so that
    a slow network has fewer.
    """
    was_training = network.training
    network.eval()
    try:
        layout = fastest_format(network)
        return {str(count): round(_each(network, count, layout), 4) for count in batches}
    finally:
        network.train(was_training)


def _each(network: Composite, count: int, layout: torch.memory_format) -> float:
    """Milliseconds of one of `count` images that are answered together."""
    size, device = network.plan.image_size, next(network.parameters()).device
    shape, drawn = (count, 3, size, size), torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=drawn)
    images = laid_out(images.to(device), layout)
    found: list[float] = []
    began = time.perf_counter()
    while len(found) < WARM_UP + FORWARDS and time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        network(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - start)
    return 1000 * median(found[WARM_UP:] or found) / count
