"""One dry run of a graph on meta tensors: shapes, costs and in-place writes, without arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from convgraft.errors import SourceError


@dataclass(frozen=True, eq=False)
class DryRun:
    """Shapes, costs and in-place effects of every node that the output depends on."""

    order: tuple[fx.Node, ...]
    shapes: Mapping[str, tuple[int, ...]]
    macs: Mapping[str, int]
    storages: Mapping[str, int]
    mutations: Mapping[str, tuple[int, ...]]
    upto: Mapping[str, int]

    @property
    def total(self) -> int:
        """MACs per image of all nodes."""
        return sum(self.macs.values())

    def mutators(self) -> dict[str, tuple[str, ...]]:
        """For each node that is overwritten in place, the later nodes that do so."""
        found: dict[str, tuple[str, ...]] = {}
        position = {node.name: index for index, node in enumerate(self.order)}
        written = {storage for storages in self.mutations.values() for storage in storages}
        for name, storage in self.storages.items():
            if storage in written:
                writers = (n for n, storages in self.mutations.items() if storage in storages)
                found[name] = tuple(n for n in writers if position[n] > position[name])
        return {name: writers for name, writers in found.items() if writers}


def needed(graph: fx.Graph, outputs: Iterable[fx.Node]) -> tuple[fx.Node, ...]:
    """The nodes that `outputs` depend on, themselves included, in graph order."""
    found: set[fx.Node] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(node.all_input_nodes)
    return tuple(node for node in graph.nodes if node in found)


def dry_run(
    module: nn.Module,
    graph: fx.Graph,
    outputs: Iterable[fx.Node],
    shape: tuple[int, ...],
    *,
    training: bool = False,
    real: bool = False,
) -> DryRun:
    """Run the part of `graph` that `outputs` need on a meta tensor of `shape` [N, C, H, W].

    `real` runs it on zeros instead, for networks with opaque modules that look at values.

    Raises SourceError, naming the layer, where an image of that size does not pass.
    """
    order = needed(graph, outputs)
    runner = _Runner(module, graph, order, real=real)
    tensors = {
        name: tensor.detach().clone() if real else torch.empty_like(tensor, device="meta")
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]
    }
    flags = {part: part.training for part in module.modules()}
    try:
        module.train(training)
        image = torch.zeros(shape, device="cpu" if real else "meta")
        with torch.no_grad():
            torch.func.functional_call(runner, _prefixed(tensors), (image,), strict=False)
    except Exception as error:
        raise _dry_run_error(runner.current, shape, error) from error
    finally:
        for part, flag in flags.items():
            part.training = flag
    macs = {name: count // shape[0] for name, count in runner.macs.items()}
    upto = _cumulative(order, macs)
    return DryRun(order, runner.shapes, macs, runner.storages, runner.mutations, upto)


def _prefixed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


class _Runner(nn.Module):
    """Interprets a graph node by node, noting shape, MACs, storage and in-place writes of each."""

    def __init__(
        self, module: nn.Module, graph: fx.Graph, order: tuple[fx.Node, ...], *, real: bool
    ) -> None:
        super().__init__()
        self.module = module
        self._real = real
        self._graph, self._order = graph, order
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.macs: dict[str, int] = {}
        self.storages: dict[str, int] = {}
        self.mutations: dict[str, tuple[int, ...]] = {}
        self.current: fx.Node | None = None

    def forward(self, image: Tensor) -> None:
        interpreter = fx.Interpreter(self.module, garbage_collect_values=False, graph=self._graph)
        interpreter.args_iter = iter([image])
        for node in self._order:
            self.current = node
            self._run(interpreter, node)

    def _moved(self, value: Any) -> Any:
        """Constants that the tracer stored come as real tensors; only their shape matters here."""
        is_stray = isinstance(value, Tensor) and value.device.type != "meta" and value.dim() > 0
        return value.to("meta") if is_stray and not self._real else value

    def _run(self, interpreter: fx.Interpreter, node: fx.Node) -> None:
        arguments = {arg.name: interpreter.env[arg] for arg in node.all_input_nodes}
        arguments = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
        before = {name: value._version for name, value in arguments.items()}
        counter = FlopCounterMode(display=False)
        with counter:
            value = interpreter.env[node] = self._moved(interpreter.run_node(node))
        self.macs[node.name] = counter.get_total_flops() // 2
        written = [value for name, value in arguments.items() if value._version > before[name]]
        if written:
            self.mutations[node.name] = tuple(_storage(value) for value in written)
        if isinstance(value, Tensor):
            self.shapes[node.name] = tuple(value.shape)
            self.storages[node.name] = _storage(value)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _cumulative(order: tuple[fx.Node, ...], macs: Mapping[str, int]) -> dict[str, int]:
    """MACs of each node and everything it depends on (shared ancestors counted once)."""
    position = {node: index for index, node in enumerate(order)}
    costs = [macs.get(node.name, 0) for node in order]
    ancestors: list[int] = []
    totals: dict[str, int] = {}
    for index, node in enumerate(order):
        mask = 1 << index
        for source in node.all_input_nodes:
            mask |= ancestors[position[source]]
        ancestors.append(mask)
        totals[node.name] = sum(c for i, c in enumerate(costs) if c and mask >> i & 1)
    return totals


def _dry_run_error(node: fx.Node | None, shape: tuple[int, ...], error: Exception) -> SourceError:
    where = f"{node.target}" if node is not None and node.op == "call_module" else f"{node}"
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SourceError(
        f"an image of {shape[-1]}x{shape[-1]} does not pass through the network",
        expected="an image that every layer can take",
        found=f"at {where}: {reason}",
        hint="a larger --image-size",
    )
