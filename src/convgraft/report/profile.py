"""Where a network's time and memory go: what is measured, per part of its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from convgraft.compose import Composite
from convgraft.compose.cost import measured
from convgraft.report.profile_nodes import node_costs
from convgraft.report.profile_parts import OTHER, Part, part_at, parts_by_path, path_of


@dataclass(frozen=True)
class PartProfile:
    """What one source, wire or head takes.

    Attributes:
        kind: `source`, `wire`, `head`, or `other` (the image and the dict of answers).
        name: in the plan.
        macs: multiply-accumulates of an image.
        parameters: weights.
        seconds: of a batch in the composite, by its number of images, node by node.
        packed: the same in the network with packed convolutions, which is what the optimised one
            runs for any number of images. A convolution that takes in a sum counts with the sum.
        memory: bytes of its values when most memory is held, by number of images.
    """

    kind: str
    name: str
    macs: int
    parameters: int
    seconds: Mapping[int, float]
    packed: Mapping[int, float]
    memory: Mapping[int, int]


@dataclass(frozen=True)
class Profile:
    """What a composite takes on this machine.

    Attributes:
        parts: in the plan's order; all numbers of the composite are sums over them.
        whole: median seconds of a whole call, by engine (`eager`, `packed`, `optimised`,
            `ONNX Runtime`) and number of images. Less than the sum over parts, between which a
            clock is read.
        peak: bytes of the values alive when most are, by engine and number of images.
        threads: that an operation works on.
        steps: what optimising did.
    """

    parts: Sequence[PartProfile]
    whole: Mapping[str, Mapping[int, float]]
    peak: Mapping[str, Mapping[int, int]]
    threads: int
    steps: Sequence[str]

    @property
    def batches(self) -> tuple[int, ...]:
        """Numbers of images at once."""
        return tuple(next(iter(self.whole.values())))


@dataclass(frozen=True, eq=False)
class Costs:
    """What the nodes of one network take, each noted with its part.

    Attributes:
        seconds, memory: by part, then by number of images.
        peak: by number of images.
    """

    seconds: Mapping[Part, Mapping[int, float]]
    memory: Mapping[Part, Mapping[int, int]]
    peak: Mapping[int, int]


def costs_of_composite(
    composite: Composite, batches: Mapping[int, Tensor], *, seconds: float
) -> Costs:
    """What every part takes in the composite as it is, in evaluation mode."""
    parts = parts_by_path(composite)
    return _costs(
        composite,
        composite.graph,
        {node: part_at(path_of(node), parts) for node in composite.graph.nodes},
        batches,
        seconds,
    )


def costs_of_packed(
    network: fx.GraphModule, composite: Composite, batches: Mapping[int, Tensor], *, seconds: float
) -> Costs:
    """What every part takes in a network made of it, whose nodes have `meta["path"]`."""
    parts = parts_by_path(composite)
    places = {node: part_at(node.meta.get("path", ""), parts) for node in network.graph.nodes}
    return _costs(network, network.graph, places, batches, seconds)


def _costs(
    network: nn.Module,
    graph: fx.Graph,
    places: Mapping[fx.Node, Part],
    batches: Mapping[int, Tensor],
    seconds: float,
) -> Costs:
    found = {
        count: node_costs(network, graph, images, seconds=seconds)
        for count, images in batches.items()
    }
    return Costs(
        _by_part({count: costs.seconds for count, costs in found.items()}, places),
        _by_part({count: costs.alive for count, costs in found.items()}, places),
        {count: costs.peak for count, costs in found.items()},
    )


def _by_part(
    found: Mapping[int, Mapping[fx.Node, Any]], places: Mapping[fx.Node, Part]
) -> dict[Part, dict[int, Any]]:
    """Sums over the nodes of each part."""
    sums: dict[Part, dict[int, Any]] = {}
    for count, values in found.items():
        for node, value in values.items():
            row = sums.setdefault(places[node], dict.fromkeys(found, 0))
            row[count] += value
    return sums


def profile_parts(composite: Composite, eager: Costs, packed: Costs) -> list[PartProfile]:
    """One row for each part of the plan, idle ones too, and one for what belongs to none."""
    macs, weights = _macs(composite), _parameters(composite)
    none = dict.fromkeys(eager.peak, 0)
    order = [*dict.fromkeys(parts_by_path(composite).values()), OTHER]
    return [
        PartProfile(
            *part,
            macs.get(part, 0),
            weights.get(part, 0),
            eager.seconds.get(part, none),
            packed.seconds.get(part, none),
            eager.memory.get(part, none),
        )
        for part in order
    ]


def _macs(composite: Composite) -> dict[Part, int]:
    run, parts = measured(composite), parts_by_path(composite)
    found: dict[Part, int] = {}
    for node in run.order:
        part = part_at(path_of(node), parts)
        found[part] = found.get(part, 0) + run.macs.get(node.name, 0)
    return found


def _parameters(composite: Composite) -> dict[Part, int]:
    parts = parts_by_path(composite)
    found: dict[Part, int] = {}
    for path, weights in composite.named_parameters():
        part = part_at(path, parts)
        found[part] = found.get(part, 0) + weights.numel()
    return found
