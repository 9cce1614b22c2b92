"""What each node of a graph takes: seconds, and memory while it runs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

LEAST, MOST = 3, 50  # rounds


@dataclass(frozen=True, eq=False)
class NodeCosts:
    """What the nodes of a graph took on one batch.

    Attributes:
        seconds: by node, the median over rounds.
        alive: by node, the bytes that its value holds at the moment when most memory is held.
            Values that share memory count once, for the first of them.
    """

    seconds: Mapping[fx.Node, float]
    alive: Mapping[fx.Node, int]

    @property
    def peak(self) -> int:
        """Bytes of all values at that moment."""
        return sum(self.alive.values())


@torch.inference_mode()
def node_costs(
    network: torch.nn.Module, graph: fx.Graph, images: Tensor, *, seconds: float = 2.0
) -> NodeCosts:
    """Run a graph node by node on images [N, 3, S, S], 3 rounds at least and 50 at most.

    A value is freed after the last node that reads it. What a module holds only while it runs is
    not seen, nor is working memory of operations.
    """
    memory = _Memory(network, graph=graph)
    memory.run(images)
    taken: dict[fx.Node, list[float]] = defaultdict(list)
    until = time.perf_counter() + seconds
    for number in range(MOST):
        if number >= LEAST and time.perf_counter() >= until:
            break
        clock = _Clock(network, graph=graph)
        clock.run(images)
        for node, value in clock.seconds.items():
            taken[node].append(value)
    return NodeCosts({node: median(times) for node, times in taken.items()}, memory.most)


class _Clock(fx.Interpreter):
    """Times every node."""

    def __init__(self, network: torch.nn.Module, *, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.seconds: dict[fx.Node, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        began = time.perf_counter()
        value = super().run_node(n)
        self.seconds[n] = time.perf_counter() - began
        return value


class _Memory(fx.Interpreter):
    """Remembers what is alive when most is."""

    def __init__(self, network: torch.nn.Module, *, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.most: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        alive = self._alive({**self.env, n: value})
        if sum(alive.values()) > sum(self.most.values()):
            self.most = alive
        return value

    def _alive(self, values: Mapping[fx.Node, Any]) -> dict[fx.Node, int]:
        """The bytes that each value holds; weights are no values."""
        seen: set[int] = set()
        found: dict[fx.Node, int] = {}
        for node, value in values.items():
            if node.op in ("get_attr", "output"):
                continue
            for tensor in tree_leaves(value):
                if not isinstance(tensor, Tensor):
                    continue
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in seen:
                    seen.add(storage.data_ptr())
                    found[node] = found.get(node, 0) + storage.nbytes()
        return found
