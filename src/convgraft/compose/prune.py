"""Stage 4, prune: what reaches no answer is gone, from the graph and from the modules."""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx, nn

from convgraft.sources.dry_run import needed
from convgraft.sources.paths import prefixes


def prune_graph(graph: fx.Graph) -> int:
    """Erase the nodes that the output does not depend on; says how many. The image stays."""
    kept = set(needed(graph, [graph.output_node()])) | set(graph.find_nodes(op="placeholder"))
    idle = [node for node in graph.nodes if node not in kept]
    for node in reversed(idle):
        graph.erase_node(node)
    return len(idle)


def prune_modules(root: nn.Module, graphs: Iterable[fx.Graph]) -> None:
    """Remove the modules and weights that no node of `graphs` uses."""
    used = {str(n.target) for g in graphs for n in g.nodes if n.op in ("call_module", "get_attr")}
    around = {prefix for target in used for prefix in prefixes(target)}
    places = [path for path, _ in root.named_modules() if path]
    places += [path for path, _ in [*root.named_parameters(), *root.named_buffers()]]
    for path in places[::-1]:
        if path in around or any(prefix in used for prefix in prefixes(path)):
            continue
        parent, _, name = path.rpartition(".")
        delattr(root.get_submodule(parent), name)
