"""Which nodes of a held composite's graph compute the same from the same image, step after step."""

from __future__ import annotations

from torch import fx

from convgraft.compose import Composite
from convgraft.sources.preprocess import Preprocess


def steady_nodes(composite: Composite) -> dict[fx.Node, None]:
    """The image, and every node that depends on held, frozen modules and fixed functions alone.

    In the order of the training graph; what requires a gradient is as the freeze policy left it.
    """
    steady: dict[fx.Node, None] = {}
    for node in composite.train_graph.nodes:
        known = all(argument in steady for argument in node.all_input_nodes)
        if known and _is_steady(node, composite):
            steady[node] = None
    return steady


def _is_steady(node: fx.Node, composite: Composite) -> bool:
    target = str(node.target)
    if node.op == "placeholder":
        return True
    if node.op == "call_module":
        part = composite.get_submodule(target)
        return isinstance(part, Preprocess) or _is_frozen(target, composite)
    if node.op == "get_attr":
        return _is_held(target.rpartition(".")[0], composite)
    source, _ = node.meta.get("origin", (None, None))
    return node.op != "output" and (source is None or f"sources.{source}" in composite.held)


def _is_frozen(path: str, composite: Composite) -> bool:
    """Held, and without a weight that learns: batch norm may be held and learn all the same."""
    weights = composite.get_submodule(path).parameters()
    return _is_held(path, composite) and not any(weight.requires_grad for weight in weights)


def _is_held(path: str, composite: Composite) -> bool:
    parts = path.split(".")
    around = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return any(name in composite.held for name in around)
