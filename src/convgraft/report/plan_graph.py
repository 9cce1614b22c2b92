"""What a picture of a plan shows: lanes of taps, arrows between them, heads. No coordinates yet.

What reaches no answer is pruned from a composite; here it is marked as not kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from convgraft.compose import Resolved
from convgraft.match import stage_ends
from convgraft.plan import Head, TapRef
from convgraft.plan.values import HEADS_OWNER
from convgraft.report.plan_kept import Kept
from convgraft.sources import Tap

LANDMARKS = ("input", "features", "logits")
Place = tuple[int, int]  # number of the lane, number of the box in it


@dataclass(frozen=True)
class TapBox:
    """A tap of a source.

    Attributes:
        name: as the plan calls it.
        role: `features` or `logits` where the name does not say so, else empty.
        kept: whether an answer depends on it.
        flows: whether what the network computed above it is used here.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    kept: bool
    flows: bool
    frozen: bool


@dataclass(frozen=True)
class Lane:
    """A source and those of its taps that matter, in the order the network computes them.

    Attributes:
        sees_image: whether an answer depends on the image through this source's own input.
    """

    name: str
    network: str
    boxes: tuple[TapBox, ...]
    sees_image: bool
    frozen: bool


@dataclass(frozen=True)
class Arrow:
    """One input of a wire."""

    start: Place
    end: Place
    adapter: str
    join: str
    kept: bool


@dataclass(frozen=True)
class HeadBox:
    """A head: the taps and the earlier heads that it reads.

    Attributes:
        words: its kind and what it answers, a line each.
        answer: whether it is the plan's main answer.
    """

    name: str
    words: tuple[str, ...]
    taps: tuple[Place, ...]
    heads: tuple[str, ...]
    answer: bool


@dataclass(frozen=True)
class PlanGraph:
    """All that a picture of a plan shows."""

    image_size: int
    lanes: tuple[Lane, ...]
    arrows: tuple[Arrow, ...]
    heads: tuple[HeadBox, ...]


def plan_graph(resolved: Resolved, frozen: Collection[str] = ()) -> PlanGraph:
    """What there is to draw.

    Args:
        frozen: sources, `a`, or taps, `a:layer1`, that do not learn.
    """
    return _Reader(resolved, frozenset(frozen)).graph()


class _Reader:
    """Reads a resolved plan; all its lookups are by tap."""

    def __init__(self, resolved: Resolved, frozen: frozenset[str]) -> None:
        self.resolved, self.frozen = resolved, frozen
        self.checked = resolved.checked
        self.plan = self.checked.plan
        self.kept = Kept(resolved)

    def graph(self) -> PlanGraph:
        lanes = tuple(self._lane(ref.name) for ref in self.plan.sources)
        arrows = tuple(
            Arrow(self._place(ref), self._place(wire.target), part.kind, wire.join, kept)
            for wire, parts, kept in zip(
                self.plan.wires, self.resolved.adapters, self.kept.wires, strict=True
            )
            for ref, part in zip(wire.inputs, parts, strict=True)
        )
        heads = tuple(self._head(head) for head in self.plan.heads)
        return PlanGraph(self.plan.image_size, lanes, arrows, heads or self._own_answers())

    def _taps(self, source: str) -> tuple[Tap, ...]:
        return self.checked.surveys[source].taps

    def _tap(self, ref: TapRef) -> tuple[str, str]:
        """A reference under the one name that the tap's aliases stand for."""
        return ref.source, self.checked.tap(ref).name

    @cached_property
    def touched(self) -> dict[tuple[str, str], str]:
        """The taps that wires and heads touch, and what the plan calls them."""
        refs = [ref for wire in self.plan.wires for ref in (*wire.inputs, wire.target)]
        refs += [ref for head in self.plan.heads for ref in head.inputs]
        return {self._tap(ref): ref.tap for ref in refs[::-1] if ref.source != HEADS_OWNER}

    @cached_property
    def shown(self) -> dict[str, list[Tap]]:
        """By source, the taps that get a box."""
        return {ref.name: self._chosen(ref.name) for ref in self.plan.sources}

    def _chosen(self, source: str) -> list[Tap]:
        taps = self._taps(source)
        names = {tap.name for tap in stage_ends(taps)} | {taps[-1].name}
        names |= {tap.name for tap in taps if tap.kind in LANDMARKS}
        return [tap for tap in taps if tap.name in names or (source, tap.name) in self.touched]

    def _place(self, ref: TapRef) -> Place:
        lane = [source.name for source in self.plan.sources].index(ref.source)
        return lane, [tap.name for tap in self.shown[ref.source]].index(self._tap(ref)[1])

    def _lane(self, name: str) -> Lane:
        boxes = tuple(self._box(name, tap) for tap in self.shown[name])
        first = self.kept.flow.node_of(TapRef(name, self._taps(name)[0].name))
        network = self.plan.source(name)
        return Lane(
            name,
            network.network if network else "",
            boxes,
            (name, first) in self.kept.nodes,
            name in self.frozen,
        )

    def _box(self, source: str, tap: Tap) -> TapBox:
        name = self.touched.get((source, tap.name), tap.name)
        own = (source, self.kept.flow.node_of(TapRef(source, tap.name))) in self.kept.nodes
        arriving = [
            kept
            for wire, kept in zip(self.plan.wires, self.kept.wires, strict=True)
            if self._tap(wire.target) == (source, tap.name)
        ]
        told = tap.kind in (name, "input") or (tap.kind == "logits" and tap.is_map)
        role = tap.kind if tap.kind in LANDMARKS and not told else ""
        frozen = source in self.frozen or f"{source}:{tap.name}" in self.frozen
        return TapBox(name, role, tap.shape, own or any(arriving), own, frozen)

    def _head(self, head: Head) -> HeadBox:
        own = (head.kind, f"{head.classes} classes" if head.classes else "")
        more = [f"hidden {', '.join(map(str, head.hidden))}" if head.hidden else ""]
        more += [head.fusion if head.fusion != "concat" else ""]
        more += [f"column {head.column}" if head.column else ""]
        lines = (", ".join(filter(None, own)), ", ".join(filter(None, more)))
        taps = tuple(self._place(ref) for ref in head.inputs if ref.source != HEADS_OWNER)
        heads = tuple(ref.tap for ref in head.inputs if ref.source == HEADS_OWNER)
        words = tuple(filter(None, lines))
        return HeadBox(head.name, words, taps, heads, head.name == self.plan.answer)

    def _own_answers(self) -> tuple[HeadBox, ...]:
        """Without heads, every source answers by its own logits."""
        return tuple(
            HeadBox(
                ref.name, ("its own logits",), ((i, len(self.shown[ref.name]) - 1),), (),
                ref.name == self.plan.answer,
            )
            for i, ref in enumerate(self.plan.sources)
        )  # fmt: skip
