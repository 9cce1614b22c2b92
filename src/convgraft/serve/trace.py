"""One picture's way through a composite, with what is asked about it kept on the way."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from convgraft.compose import Composite

HEADS, JOINS, PREPROCESS = "heads.", "joins.", "preprocess."


class Trace(fx.Interpreter):
    """Runs a composite once, in the mode that it is in.

    Args:
        image: float [1, 3, S, S] in [0, 1].

    Attributes:
        answers: logits [1, classes] by name.
        maps: by source, the last map [1, C, H, W] of its network, H or W above 1, that is as
            large as its last convolution made it, and the name of the node in the source's graph.
        inputs: by head, what it was given.
        shares: by join, for each addition there, how much of the sum's two parts arrived:
            |added| / (|own| + |added|), Euclidean norms.
    """

    def __init__(self, composite: Composite, image: Tensor) -> None:
        super().__init__(composite)
        self.maps: dict[str, tuple[str, Tensor]] = {}
        self.inputs: dict[str, tuple[Tensor, ...]] = {}
        self.shares: dict[str, list[float]] = {}
        self._sides: dict[str, torch.Size] = {}  # by source, what its last convolution gave
        self.answers: dict[str, Tensor] = self.run(image)

    def run_node(self, n: fx.Node) -> Any:
        """Run a node and look at what went in and what came out, before anything overwrites it."""
        given, _ = self.fetch_args_kwargs_from_env(n)
        join = _join(n)
        own = given[0].detach().clone() if join else None
        result = super().run_node(n)
        if join and own is not None:
            self.shares.setdefault(join, []).append(_share(own, result.detach()))
        if str(n.target).startswith(HEADS):
            self.inputs[str(n.target).removeprefix(HEADS)] = given
        self._keep_map(n, result)
        return result

    def _keep_map(self, n: fx.Node, result: Any) -> None:
        source, name = n.meta.get("origin", (None, None))
        if source is None or str(n.target).startswith(PREPROCESS):
            return
        if not isinstance(result, Tensor) or result.dim() != 4 or max(result.shape[2:]) == 1:
            return
        if self._convolves(n):
            self._sides[source] = result.shape[2:]
        # what is pooled further tells less of where things are
        if self._sides.get(source, result.shape[2:]) == result.shape[2:]:
            self.maps[source] = (name, result)

    def _convolves(self, n: fx.Node) -> bool:
        if n.op == "call_module":
            return isinstance(self.module.get_submodule(str(n.target)), nn.Conv2d)
        return n.target is F.conv2d


def _join(n: fx.Node) -> str | None:
    """The join that a node is an addition of; its module's or its scope's name."""
    if n.op == "call_module" and str(n.target).startswith(JOINS):
        return str(n.target).removeprefix(JOINS)
    scope = n.meta.get("scope", "")
    return scope.removeprefix(JOINS) if n.target is torch.add and scope.startswith(JOINS) else None


def _share(own: Tensor, joined: Tensor) -> float:
    added, kept = (joined - own).norm().item(), own.norm().item()
    return added / (added + kept) if added else 0.0
