"""What a composite costs: multiply-accumulates and weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx, nn

from convgraft.compose.composite import Composite
from convgraft.sources.dry_run import DryRun, dry_run


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
    weights = list(composite.parameters())
    trainable = sum(p.numel() for p in weights if p.requires_grad)
    macs = measured(composite).total
    return Cost(macs, sum(p.numel() for p in weights), trainable)


def measured(
    composite: Composite,
    network: nn.Module | None = None,
    graph: fx.Graph | None = None,
    images: int = 2,
) -> DryRun:
    """A dry run of a composite's evaluation graph, or of one that was made from it.

    Args:
        network: what the graph's targets are paths of; the composite itself where not given.
        graph: another one than the composite's own.
        images: how many go through at once.
    """
    network = composite if network is None else network
    graph = composite.graph if graph is None else graph
    outputs = graph.output_node().all_input_nodes
    size = composite.plan.image_size
    opaque = any(one.capture.opaque for one in composite.resolved.checked.sources.values())
    return dry_run(network, graph, outputs, (images, 3, size, size), real=opaque)
