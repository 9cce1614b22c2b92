"""What a node of a graph needs: what it reads, and who has overwritten that in place by then."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from torch import fx

from convgraft.sources.dry_run import DryRun

Needs = Mapping[fx.Node, tuple[fx.Node, ...]]


def needs_of(graph: fx.Graph, run: DryRun) -> Needs:
    """For each node of a graph what it reads and then, in graph order, `late_writers` of that."""
    writers: dict[int, list[fx.Node]] = {}  # by storage, in graph order
    needs: dict[fx.Node, tuple[fx.Node, ...]] = {}
    for node in graph.nodes:
        read = node.all_input_nodes
        storages = dict.fromkeys(run.storages.get(one.name, -1) for one in read)
        late = [w for storage in storages for w in writers.get(storage, ()) if w not in read]
        needs[node] = (*read, *late)
        for storage in run.mutations.get(node.name, ()):
            writers.setdefault(storage, []).append(node)
    return needs


def late_writers(needs: Needs) -> set[fx.Node]:
    """The nodes that others need for what they overwrite, not for what they give."""
    return {writer for node, all_ in needs.items() for writer in all_[len(node.all_input_nodes) :]}


def upstream(
    nodes: Iterable[fx.Node], needs: Needs, known: Collection[fx.Node] = ()
) -> tuple[fx.Node, ...]:
    """The nodes that some need, themselves included, in graph order; `known` ends the search."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found and node not in known:
            found.add(node)
            waiting.extend(needs[node])
    return tuple(node for node in needs if node in found)
