"""What a candidate costs, known before it is trained."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import torch

from convgraft.compose import Composite, compose, cost
from convgraft.studies.arms import Arm

FORWARDS, WARM_UP = 7, 2


@dataclass(frozen=True)
class Price:
    """What one image costs.

    Attributes:
        macs: multiply-accumulates.
        parameters: weights that the answer depends on.
        latency: median milliseconds of a few forward passes of one image, on this machine's CPU.
    """

    macs: int
    parameters: int
    latency: float


@dataclass(frozen=True)
class Ceiling:
    """What one image may cost at most; None: anything.

    Attributes:
        macs: multiply-accumulates.
        latency: milliseconds.
    """

    macs: float | None = None
    latency: float | None = None

    def refuses(self, price: Price) -> str:
        """Why a price is too high; empty where it is not."""
        if self.macs is not None and price.macs > self.macs:
            return f"{price.macs / 1e6:.1f} million MACs"
        if self.latency is not None and price.latency > self.latency:
            return f"{price.latency:.1f} ms"
        return ""


def price_of(arm: Arm) -> Price:
    """The price of an arm once it is trained: teachers and matching heads are gone by then.

    Raises PlanError where its plan cannot be composed.
    """
    plan = arm.plan
    if arm.loss is not None and arm.loss.keep:
        plan = plan.keeping(arm.loss.keep)
    network = compose(plan, {ref.name: arm.sources[ref.name] for ref in plan.sources}).eval()
    spent = cost(network)
    return Price(spent.macs, spent.parameters, latency_of(network))


@torch.inference_mode()
def latency_of(network: Composite) -> float:
    """Median milliseconds of a forward pass of one image in evaluation mode."""
    size = network.plan.image_size
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    found: list[float] = []
    for _ in range(WARM_UP + FORWARDS):
        began = time.perf_counter()
        network(image)
        found.append(1e3 * (time.perf_counter() - began))
    return median(found[WARM_UP:])
