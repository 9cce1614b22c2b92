"""Which nodes of a held composite's graph compute the same from the same image, step after step."""

from __future__ import annotations

from torch import fx, nn

from convgraft.compose import Composite
from convgraft.sources.capture import same_code
from convgraft.sources.paths import prefixes
from convgraft.sources.preprocess import Preprocess


def steady_nodes(
    composite: Composite, graph: fx.Graph | None = None, *, at_rest: bool = False
) -> dict[fx.Node, None]:
    """The image, and every node that depends on held, frozen modules and fixed functions alone.

    In the order of the graph, by default the training graph.

    Args:
        at_rest: whether nothing is trained, so that what is held is frozen; else what requires a
            gradient, as the freeze policy left it, is not.
    """
    alike = same_in_training(composite)
    steady: dict[fx.Node, None] = {}
    for node in (graph or composite.train_graph).nodes:
        known = all(argument in steady for argument in node.all_input_nodes)
        if known and _is_steady(node, composite, at_rest, alike):
            steady[node] = None
    return steady


def same_in_training(composite: Composite) -> bool:
    """Whether training runs the graph of evaluation, so that no function in it draws numbers."""
    return same_code(composite.train_graph, composite.graph)


def _is_steady(node: fx.Node, composite: Composite, at_rest: bool, alike: bool) -> bool:
    target = str(node.target)
    if node.op == "placeholder":
        return True
    if node.op == "call_module":
        part = composite.get_submodule(target)
        held = _is_held(target, composite)
        return isinstance(part, Preprocess) or (held and (at_rest or not _learns(part)))
    if node.op == "get_attr":
        parent, _, name = target.rpartition(".")
        tensor = getattr(composite.get_submodule(parent), name)
        return _is_held(parent, composite) and (at_rest or not tensor.requires_grad)
    if node.op == "output":
        return False
    source, _ = node.meta.get("origin", (None, None))
    return alike or source is None or f"sources.{source}" in composite.held


def _learns(part: nn.Module) -> bool:
    """Batch norm may be held and learn all the same."""
    return any(weight.requires_grad for weight in part.parameters())


def _is_held(path: str, composite: Composite) -> bool:
    return any(name in composite.held for name in prefixes(path))
