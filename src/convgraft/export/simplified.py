"""A trained network as few plain layers: what is exported, and what is made fast from there.

composite --share--> --fold adapters--> --open--> --fold batch norms, gates--> simplified
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import fx

from convgraft.cache.batch_norm_folding import fold_batch_norms
from convgraft.cache.pooled_sums import pool_by_sums
from convgraft.cache.simplify import fold_preprocessing, remove_idle
from convgraft.compose import Composite
from convgraft.compose.cost import measured
from convgraft.export.fold import fold_adapters
from convgraft.export.gates import fold_gates
from convgraft.export.opened import open_parts
from convgraft.export.windows import settle_windows


@dataclass(frozen=True, eq=False)
class Simplification:
    """A simplified network, and what was done to make it.

    Attributes:
        network: images [N, 3, S, S], uint8 or float in [0, 1], to a dict of answers. Its nodes have
            `meta["path"]`, the module path in the composite that each stands for.
        shared: nodes saved where two sources compute the same.
        adapters: names of the adapters that are part of the layers after them.
        batch_norms: how many are part of the layers before them.
        shut: module paths of gates at exactly zero: those wires add nothing, and are left out.
    """

    network: fx.GraphModule
    shared: int
    adapters: tuple[str, ...]
    batch_norms: int
    shut: tuple[str, ...]


def simplified(composite: Composite) -> fx.GraphModule:
    """The same function of images as plain layers, in evaluation mode, for export and for speed.

    Images [N, 3, S, S], uint8 or float in [0, 1], go to a dict of answers, as in the composite,
    within 1e-5 of the largest logit. Batch norms, gates and, where exact, adapters are part of the
    convolutions beside them; equal frozen prefixes run once; a wire whose gate is exactly zero is
    left out. The composite is not changed, and shares no memory with it.
    """
    return simplify(composite).network


def simplify(composite: Composite, *, settled: bool = True) -> Simplification:
    """As `simplified`, and what was done.

    Args:
        settled: write adaptive pooling as exporters take it; else as PyTorch is fastest.
    """
    from convgraft.report.profile_parts import path_of  # its package loads all that draws

    held = copy.deepcopy(composite).eval()
    nodes = len(held.graph.nodes)
    held = held.holding([f"sources.{name}" for name in held.resolved.checked.sources])
    folded = fold_adapters(held)
    network = folded.network
    for node in network.graph.nodes:
        node.meta["path"] = path_of(node)
    _note_shapes(network, composite)
    open_parts(network)
    _note_shapes(network, composite)
    settle_windows(network, exported=settled)
    remove_idle(network)
    norms = fold_batch_norms(network)
    shut = fold_gates(network)
    fold_preprocessing(network)
    pool_by_sums(network)
    network.delete_all_unused_submodules()
    network.requires_grad_(False).eval()
    return Simplification(network, nodes - len(held.graph.nodes), folded.folded, norms, shut)


def _note_shapes(network: fx.GraphModule, composite: Composite) -> None:
    run = measured(composite, network, network.graph)
    for node in network.graph.nodes:
        node.meta["shape"] = run.shapes.get(node.name, ())
