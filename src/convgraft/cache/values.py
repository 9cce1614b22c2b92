"""Values to be stored: what the cut asks for, and what the pass gives beside it for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import fx

from convgraft.cache.frontier import FLOAT_BYTES, Frontier
from convgraft.cache.keys import graph_keys, pooled_key, value_key
from convgraft.cache.pooled import is_pooled

COMPANIONS_BYTES = 128 * 2**10  # of one image, in float32: what a pass stores beside the cut


@dataclass(frozen=True, eq=False)
class Value:
    """One value that a frozen pass gives for each image.

    Attributes:
        node: in the frontier's graph.
        pooled: whether the mean over positions of what the node gives is stored.
        key: names it in the store.
        shape: without the batch.
        sources: names of the networks that it depends on.
        what: for people, e.g. `mobilenet_v2 features.18, pooled`.
    """

    node: fx.Node
    pooled: bool
    key: str
    shape: tuple[int, ...]
    sources: frozenset[str]
    what: str


def cut_values(frontier: Frontier, view: str = "") -> tuple[Value, ...]:
    """The values of the cut, in graph order; `view` says what augments the images."""
    keys = graph_keys(frontier.held, frontier.once, frontier.run)
    size = frontier.held.plan.image_size
    return tuple(
        Value(
            node,
            False,
            value_key(keys[node], image_size=size, view=view),
            frontier.shapes[node],
            _sources(node),
            _what(node, frontier),
        )
        for node in frontier.stored
    )


def companions(frontier: Frontier, cut: Sequence[Value], view: str = "") -> tuple[Value, ...]:
    """Pooled taps of the same networks that the pass computes on its way, so that others find them.

    A pass for a probe also leaves what a ladder or a join on the same networks would read. None
    where they would be large.
    """
    once = {node.meta.get("origin"): node for node in frontier.once if "origin" in node.meta}
    keys = graph_keys(frontier.held, frontier.once, frontier.run)
    size = frontier.held.plan.image_size
    overwritten = frontier.run.mutators()
    found: dict[str, Value] = {}
    for name, survey in frontier.held.resolved.checked.surveys.items():
        for tap in survey.side_taps:
            node = once.get((name, survey.nodes[False].get(tap.name)))
            if node is None or node not in frontier.shapes:
                continue
            shape = frontier.shapes[node]
            if len(shape) != 3 and (len(shape) != 1 or node.name in overwritten):
                continue  # the mean of a map is a copy, a vector is not
            key = value_key(pooled_key(keys[node], shape), image_size=size, view=view)
            pooled = shape if len(shape) == 1 else (shape[0], 1, 1)
            what = f"{_network(name, frontier)} {tap.name}, pooled"
            found[key] = Value(node, True, key, pooled, _sources(node), what)
    for value in cut:
        found.pop(value.key, None)
    small = sum(FLOAT_BYTES * prod(value.shape) for value in found.values()) <= COMPANIONS_BYTES
    return tuple(found.values()) if small else ()


def _sources(node: fx.Node) -> frozenset[str]:
    found: set[str] = set()
    seen: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting.extend(one.all_input_nodes)
            # networks with the same preprocessing share it, under the name of the first
            if "origin" in one.meta and not str(one.target).startswith("preprocess."):
                found.add(one.meta["origin"][0])
    return frozenset(found)


def _what(node: fx.Node, frontier: Frontier) -> str:
    """A node in words: its network and layer."""
    tail = ", pooled" if is_pooled(node) else ""
    while "origin" not in node.meta and node.all_input_nodes:
        node = node.all_input_nodes[0]
    source, name = node.meta.get("origin", ("", node.name))
    surveys = frontier.held.resolved.checked.surveys
    nodes = surveys[source].nodes[False] if source in surveys else {}
    layer = next((tap for tap, own in nodes.items() if own == name), name)
    return f"{_network(source, frontier)} {layer}{tail}".strip()


def _network(source: str, frontier: Frontier) -> str:
    refs = {ref.name: ref.network for ref in frontier.held.plan.sources}
    return refs.get(source, source).split("@")[0].rpartition("/")[2]
