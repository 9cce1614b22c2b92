"""What kind of tap each node of a graph is: activation, block, pool, features, logits."""

from __future__ import annotations

import math

from torch import fx, nn

from convgraft.sources.capture import Graph
from convgraft.sources.dry_run import DryRun

KINDS = ("input", "layer", "activation", "block", "pool", "features", "logits")
_ACTIVATION_FUNCTIONS = {
    *("relu", "relu6", "silu", "gelu", "hardswish", "hardsigmoid", "sigmoid", "leaky_relu", "elu"),
    *("selu", "mish", "tanh", "softplus", "celu", "prelu"),
}


class Kinds:
    """Says of each node what kind of tap it is."""

    _TRANSPARENT = ("Dropout", "Flatten", "Identity", "flatten", "dropout", "view", "reshape")

    def __init__(self, module: nn.Module, graph: Graph, run: DryRun) -> None:
        self._modules = dict(module.named_modules())
        self._graph = graph
        self._features = self._find_features(run)

    def of(self, node: fx.Node) -> str:
        """The kind of the tap at a node."""
        if node is self._graph.input:
            return "input"
        if node is self._graph.output:
            return "logits"
        if node is self._features:
            return "features"
        operation = self._operation(node).lower()
        if "pool" in operation or operation in ("mean", "selectadaptivepool2d"):
            return "pool"
        if self._returns_block(node):
            return "block"
        return "activation" if self._is_activation(node) else "layer"

    def _operation(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return type(self._modules[str(node.target)]).__name__
        return getattr(node.target, "__name__", str(node.target))

    def _returns_block(self, node: fx.Node) -> bool:
        called = [self._module_of(path) for path in self._graph.results.get(node.name, ())]
        return any(
            sum(isinstance(part, nn.Conv2d) for part in module.modules()) > 1
            for module in called
            if module is not None
        )

    def _module_of(self, path: str) -> nn.Module | None:
        if path in self._modules:
            return self._modules[path]
        return self._modules.get(path.rpartition("_")[0] or path)

    def _is_activation(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            kind = type(self._modules[str(node.target)])
            return kind.__module__.endswith("activation") or "Act" in kind.__name__
        name = getattr(node.target, "__name__", str(node.target)).rstrip("_")
        return name in _ACTIVATION_FUNCTIONS

    def _find_features(self, run: DryRun) -> fx.Node | None:
        """The input of the last layer with weights, looking back through dropout and flatten.

        None for a network that answers with a map, such as a bank of filters: it has no classifier.
        """
        if math.prod(run.shapes[self._graph.output.name][2:]) > 1:
            return None
        weighted = [node for node in run.order if self._is_classifier(node)]
        if not weighted:
            return None
        node = weighted[-1].all_input_nodes[0]
        while self._operation(node) in self._TRANSPARENT and len(run.shapes[node.name]) == 4:
            node = node.all_input_nodes[0]
        while self._operation(node) in ("Dropout", "Identity", "dropout"):
            node = node.all_input_nodes[0]
        return node

    def _is_classifier(self, node: fx.Node) -> bool:
        if node.op != "call_module":
            return False
        return isinstance(self._modules[str(node.target)], (nn.Linear, nn.Conv2d))
