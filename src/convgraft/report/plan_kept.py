"""What of a plan reaches an answer; the rest is pruned away when it is compiled."""

from __future__ import annotations

from functools import cached_property

from convgraft.compose import Resolved
from convgraft.compose.flow import Flow, build_flow
from convgraft.compose.link import link_graph
from convgraft.plan import TapRef
from convgraft.plan.values import HEADS_OWNER


class Kept:
    """The nodes and wires of a resolved plan that its answers depend on, in evaluation mode."""

    def __init__(self, resolved: Resolved) -> None:
        self.resolved, self.checked = resolved, resolved.checked
        self.plan = self.checked.plan

    @cached_property
    def flow(self) -> Flow:
        """The values of the plan in evaluation mode."""
        modes = dict.fromkeys(self.checked.sources, False)
        return build_flow(self.plan, self.checked.sources, self.checked.surveys, modes)

    @cached_property
    def nodes(self) -> frozenset[tuple[str, str]]:
        """Source and name of every node that the pruned graph still has."""
        linked = link_graph(self.resolved, dict.fromkeys(self.checked.sources, False))
        return frozenset(node.meta["origin"] for node in linked.nodes if "origin" in node.meta)

    @cached_property
    def wires(self) -> tuple[bool, ...]:
        """For every wire, whether what it brings reaches an answer."""
        return tuple(map(self._is_kept_wire, range(len(self.plan.wires))))

    def _is_kept_wire(self, number: int) -> bool:
        target = self.plan.wires[number].target
        node = self.flow.node_of(target)
        later = [n for n in self.flow.wires_at(target.source, node) if n > number]
        if any(self.plan.wires[n].join == "replace" for n in later):
            return False
        users = self.flow.nodes[target.source][node].users
        read_inside = any((target.source, user.name) in self.nodes for user in users)
        return read_inside or self._tap(target) in self._answered

    @cached_property
    def _answered(self) -> frozenset[tuple[str, str]]:
        """Taps that heads read; without heads, every source's output."""
        if not self.plan.heads:
            return frozenset(
                (name, self.checked.surveys[name].taps[-1].name) for name in self.checked.sources
            )
        refs = [ref for head in self.plan.heads for ref in head.inputs]
        return frozenset(self._tap(ref) for ref in refs if ref.source != HEADS_OWNER)

    def _tap(self, ref: TapRef) -> tuple[str, str]:
        """A reference under the one name that the tap's aliases stand for."""
        return ref.source, self.checked.tap(ref).name
