"""What a composite costs: multiply-accumulates and weights."""

from __future__ import annotations

from dataclasses import dataclass

from convgraft.compose.composite import Composite
from convgraft.sources.dry_run import dry_run


@dataclass(frozen=True)
class Cost:
    """What one image costs.

    Attributes:
        macs: multiply-accumulates of one forward pass in evaluation mode.
        parameters: weights that the answers depend on.
        trainable: those of them that require a gradient.
    """

    macs: int
    parameters: int
    trainable: int


def cost(composite: Composite) -> Cost:
    """Count a composite's MACs and weights."""
    size = composite.plan.image_size
    outputs = composite.graph.output_node().all_input_nodes
    opaque = any(one.capture.opaque for one in composite.resolved.checked.sources.values())
    run = dry_run(composite, composite.graph, outputs, (2, 3, size, size), real=opaque)
    weights = list(composite.parameters())
    trainable = sum(p.numel() for p in weights if p.requires_grad)
    return Cost(run.total, sum(p.numel() for p in weights), trainable)
