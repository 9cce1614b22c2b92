"""Fold adapters into the layers that read them, so that a finished stitch costs nothing extra.

    tap -> 1x1 (W1, b1) -> convolution (W2, b2)    becomes    tap -> convolution (W2 W1, b2 + W2 b1)

The folded network is for inference: it computes what the composite computes in evaluation mode,
up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import fx, nn

from convgraft.cache.plain_layers import is_plain
from convgraft.compose import Composite, cost
from convgraft.compose.cost import measured
from convgraft.compose.prune import prune_modules
from convgraft.export.fuse import Layer, averages, fuse, is_same, refusal
from convgraft.layers.adapters import ResidualMix
from convgraft.sources.dry_run import DryRun

_ADAPTERS = "adapters."
_RESIZES = "it resizes and does nothing else"


class FoldedNetwork(fx.GraphModule):
    """One graph for inference: images [N, 3, S, S] to a dict of answers, as the composite's.

    It stays in evaluation mode, and none of its weights learns.
    """

    def train(self, mode: bool = True) -> FoldedNetwork:
        """Does nothing: what was folded cannot be trained apart."""
        super().train(False)
        return self


@dataclass(frozen=True, eq=False)
class Folded:
    """A composite whose adapters are part of the layers after them, where that is exact.

    Attributes:
        network: the folded network, with weights of its own.
        folded: names of the adapters whose last convolution is gone.
        kept: names of the others that cost something, each with the reason.
        macs_before: multiply-accumulates of one image in the composite, in evaluation mode.
        macs: the same in the folded network.
    """

    network: FoldedNetwork
    folded: tuple[str, ...]
    kept: Mapping[str, str]
    macs_before: int
    macs: int


def fold_adapters(composite: Composite) -> Folded:
    """Multiply the last convolution of every adapter into the layers that read it.

    An adapter is folded where all its readers are plain convolutions or dense layers, alone or
    behind an average, where the result is the same in exact arithmetic, borders included, and
    where it takes no more multiply-accumulates. The composite is not changed.
    """
    network, adapters = _opened(composite)
    folder = _Folder(network, measured(composite, network, network.graph))
    reasons = {name: folder.fold(layers) for name, layers in adapters.items()}
    network.graph.lint()
    network.recompile()
    prune_modules(network, [network.graph])
    kept = {name: reason for name, reason in reasons.items() if reason is not None}
    return Folded(
        network,
        tuple(name for name in reasons if name not in kept),
        kept,
        cost(composite).macs,
        measured(composite, network, network.graph).total,
    )


def _opened(composite: Composite) -> tuple[FoldedNetwork, dict[str, list[fx.Node]]]:
    """A copy of the evaluation graph, adapters opened to their layers, and those layers."""
    root = nn.ModuleDict(copy.deepcopy(dict(composite.named_children())))
    graph = copy.deepcopy(composite.graph)
    adapters: dict[str, list[fx.Node]] = {}
    for node in graph.find_nodes(op="call_module"):
        path = str(node.target)
        if path.startswith(_ADAPTERS):
            adapters[path.removeprefix(_ADAPTERS)] = _open(graph, node, root.get_submodule(path))
    network = FoldedNetwork(root, graph, class_name="FoldedNetwork")
    return network.requires_grad_(False).eval(), adapters


def _open(graph: fx.Graph, node: fx.Node, adapter: nn.Module) -> list[fx.Node]:
    """The layers of an adapter as nodes in place of its own."""
    layers: list[fx.Node] = []
    value = node.all_input_nodes[0]
    with graph.inserting_before(node):
        for path in _layer_paths(str(node.target), adapter):
            value = graph.call_module(path, (value,))
            layers.append(value)
    node.replace_all_uses_with(value)
    graph.erase_node(node)
    return layers


def _layer_paths(path: str, layer: nn.Module) -> Iterator[str]:
    if isinstance(layer, nn.Sequential):
        for name, child in layer.named_children():
            yield from _layer_paths(f"{path}.{name}", child)
    elif isinstance(layer, ResidualMix) and not layer.scale.any():
        yield f"{path}.linear"  # the block beside it adds nothing
    else:
        yield path


class _Folder:
    """Folds adapters one after the other, and keeps count of what each layer costs."""

    def __init__(self, network: FoldedNetwork, run: DryRun) -> None:
        self.network, self.shapes, self.macs = network, run.shapes, dict(run.macs)

    def fold(self, layers: Iterable[fx.Node]) -> str | None:
        """Fold an adapter, given as its layers; else says why not."""
        mixes = [node for node in layers if not averages(node, self._module(node))]
        first = self._module(mixes[-1]) if mixes else None
        if not isinstance(first, nn.Conv2d) or not is_plain(first):
            return f"it ends in {type(first).__name__}, not in a convolution" if first else _RESIZES
        readers = list(self._readers(mixes[-1], first))
        reasons = (self._reason(node, first) for node in readers)
        reason = next((reason for reason in reasons if reason), None)
        return reason or self._replace(mixes[-1], first, readers)

    def _replace(self, mix: fx.Node, first: nn.Conv2d, readers: list[fx.Node]) -> str | None:
        """Put fused layers in place of those that read `mix`, unless they cost more."""
        apart = self.macs[mix.name] + sum(self.macs[node.name] for node in readers)
        fused = {node: fuse(first, self._reader(node)) for node in readers}
        macs = {node.name: self._scaled(node, layer) for node, layer in fused.items()}
        together = sum(macs.values())
        if together > apart:
            return f"folded it would cost more: {together:,} MACs in place of {apart:,}"
        for node, layer in fused.items():
            parent, _, name = str(node.target).rpartition(".")
            setattr(self.network.get_submodule(parent), name, layer)
        mix.replace_all_uses_with(mix.all_input_nodes[0])
        self.network.graph.erase_node(mix)
        self.macs |= macs
        return None

    def _scaled(self, node: fx.Node, layer: Layer) -> int:
        """The MACs of a reader with other weights on the same grid."""
        return self.macs[node.name] * layer.weight.numel() // self._reader(node).weight.numel()

    def _reader(self, node: fx.Node) -> Layer:
        layer = self._module(node)
        assert isinstance(layer, (nn.Conv2d, nn.Linear)), "others have been refused"
        return layer

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.network.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _readers(self, node: fx.Node, first: nn.Conv2d) -> Iterator[fx.Node]:
        """What reads a value, directly or behind layers that `first` can change places with."""
        for user in node.users:
            commutes = first.kernel_size == (1, 1) and averages(user, self._module(user))
            if commutes or is_same(user, self._module(user)):
                yield from self._readers(user, first)
            else:
                yield user

    def _reason(self, node: fx.Node, first: nn.Conv2d) -> str | None:
        """Why a reader cannot take in what it reads."""
        if node.op == "output":
            return "it is an answer"
        layer = self._module(node)
        if layer is None:
            return f"the function {getattr(node.target, '__name__', node.target)} reads it"
        found = refusal(first, layer)
        if found is None and len(node.graph.find_nodes(op="call_module", target=node.target)) > 1:
            found = "is used in several places"
        rank = len(self.shapes[node.all_input_nodes[0].name])
        if found is None and isinstance(layer, nn.Linear) and rank != 2:
            found = "goes along an axis other than the channels"
        return f"{node.target} {found}" if found else None
