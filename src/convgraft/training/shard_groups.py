"""Which weights of a composite are gathered together, where they are spread over ranks.

A composite is one graph that calls the modules of its networks, so that only these have a forward
call before which their weights can be gathered, and after which they can be let go. Each network,
and each kind of what joins them, is cut into pieces in the order in which the graph calls them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from torch import fx, nn

from convgraft.compose import Composite
from convgraft.training.upstream import Upstream

PIECES = 8  # that a network is cut into, so that an eighth of it is whole at a time
Key = tuple[str, bool, bool]


def shard_groups(composite: Composite, taught: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Paths of modules by group; what is in none is whole from the first module to the last.

    On the way back the weights of a group are needed from the gradient of its last module on. So a
    module is in a group with others only that a gradient reaches just as it does, or none.

    Args:
        taught: names of the outputs that the loss depends on.
    """
    upstream = Upstream(composite)
    learns = {name for name, weight in composite.named_parameters() if weight.requires_grad}
    weights, carrying = upstream.of(taught), upstream.carrying(learns)
    sections: dict[Key, dict[str, int]] = {}
    for path, module in _called_once(composite).items():
        own = [f"{path}.{name}" for name, _ in module.named_parameters()]
        key = _section(path), any(name in weights for name in own), path in carrying
        sections.setdefault(key, {})[path] = sum(p.numel() for p in module.parameters())
    return tuple(piece for sizes in sections.values() for piece in _pieces(sizes))


def idle_modules(composite: Composite) -> tuple[str, ...]:
    """Paths of the topmost modules that no graph calls, and of which nothing learns."""
    used = {target for graph in _graphs(composite) for target in _targets(graph)}
    busy = {id(m) for path in used for m in _at(composite, path)}
    idle: list[str] = []
    for path, module in composite.named_modules():
        is_around = not path or any(target.startswith(f"{path}.") for target in used)
        is_below = any(path.startswith(f"{above}.") for above in idle)
        learns = any(weight.requires_grad for weight in module.parameters())
        shared = any(id(part) in busy for part in module.modules())
        if not (is_around or is_below or learns or shared):
            idle.append(path)
    return tuple(idle)


def _called_once(composite: Composite) -> dict[str, nn.Module]:
    """Modules with weights of their own that every graph calls once, in the order of training."""
    counts = [Counter(_targets(graph)) for graph in _graphs(composite)]
    used = {target for count in counts for target in count}
    named = composite.named_parameters(remove_duplicate=False)
    owners = Counter(id(weight) for _, weight in named)
    found: dict[str, nn.Module] = {}
    for node in composite.train_graph.find_nodes(op="call_module"):
        path = str(node.target)
        module = composite.get_submodule(path)
        weights = [*module.parameters()]
        once = all(count[path] == 1 for count in counts)
        apart = not any(other.startswith(f"{path}.") for other in used)
        alone = all(owners[id(weight)] == 1 and weight.dim() for weight in weights)
        if weights and once and apart and alone:
            found[path] = module
    return found


def _pieces(sizes: dict[str, int]) -> list[tuple[str, ...]]:
    """Modules in their order, cut where a piece has its share of their weights."""
    share, pieces, full = sum(sizes.values()) / PIECES, [[]], 0
    for path, size in sizes.items():
        if full >= share:
            pieces.append([])
            full = 0
        pieces[-1].append(path)
        full += size
    return [tuple(piece) for piece in pieces]


def _section(path: str) -> str:
    """The network that a module is of, or the kind of what joins them."""
    parts = path.split(".")
    return ".".join(parts[: 2 if parts[0] == "sources" else 1])


def _graphs(composite: Composite) -> Sequence[fx.Graph]:
    return composite.graph, composite.train_graph


def _targets(graph: fx.Graph) -> list[str]:
    return [str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")]


def _at(composite: Composite, path: str) -> list[nn.Module]:
    """The modules that a node of the graph runs, or the one whose weight it reads."""
    parent, _, name = path.rpartition(".")
    place = composite.get_submodule(parent)
    own = getattr(place, name)
    return [*own.modules()] if isinstance(own, nn.Module) else [place]
