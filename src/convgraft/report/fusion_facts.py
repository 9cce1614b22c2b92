"""What a fusion map tells of wires, taps and heads: shapes, adapter, gate, MACs, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from convgraft.compose import Composite
from convgraft.compose.cost import measured
from convgraft.plan import Wire
from convgraft.report.page_data import Table
from convgraft.report.plan_graph import Arrow, HeadBox, Lane, Place, PlanGraph, TapBox
from convgraft.report.plan_layout import shape_text

ADDED = ("adapters.", "joins.", "heads.")


@dataclass(frozen=True)
class Facts:
    """What is told of one thing: its name, and lines of a word and what stands beside it."""

    title: str
    lines: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All of it in a line, for those who hear it."""
        return f"{self.title}. " + ", ".join(f"{name}: {value}" for name, value in self.lines)


class FusionFacts:
    """Looks up what a composite's parts are.

    Args:
        graph: what the picture of the composite's plan shows.
        gates: by wire, as the plan writes it, its mean absolute gate after training.
    """

    def __init__(
        self, composite: Composite, graph: PlanGraph, gates: Mapping[str, float] | None = None
    ) -> None:
        self.plan, self.graph, self.gates = composite.plan, graph, gates or {}
        self.resolved = composite.resolved
        self.surveys = composite.resolved.checked.surveys
        self.macs = added_macs(composite)
        weights = composite.named_parameters()
        self.weights = Counter[str]()
        for name, weight in weights:
            self.weights[".".join(name.split(".")[:2])] += weight.numel()

    def arrow(self, number: int) -> Facts:
        """Of the arrow with that number in the graph: one input of a wire."""
        wire, place = self._input(number)
        part = self.resolved.adapters[wire][place]
        own, join = self.plan.wires[wire], self.resolved.joins[wire]
        names = [f"adapters.{part.name}", f"joins.{join.name}"]
        lines = [
            ("join", own.join),
            ("adapter", part.kind),
            ("shapes", f"{shape_text(part.shape_in)} → {shape_text(part.shape_out)}"),
            ("gate", self._gate(own)),
            ("MACs", f"{sum(self.macs[name] for name in names):,}"),
            ("weights", f"{sum(self.weights[name] for name in names):,}"),
        ]
        if not self.graph.arrows[number].kept:
            lines.append(("note", "reaches no answer: pruned away"))
        return Facts(f"{own.inputs[place]} → {own.target}", tuple(lines))

    def _input(self, number: int) -> tuple[int, int]:
        """An arrow's wire, and which of its inputs it is."""
        inputs = [(w, i) for w, wire in enumerate(self.plan.wires) for i in range(len(wire.inputs))]
        return inputs[number]

    def _gate(self, wire: Wire) -> str:
        if str(wire) in self.gates:
            return f"{self.gates[str(wire)]:.4f} (mean |gate|; it began at 0)"
        return "began at 0" if wire.start == "zero" else "none: at full weight from the start"

    def tap(self, lane: Lane, box: TapBox) -> Facts:
        """Of a block of a source."""
        tap = self.surveys[lane.name].tap(box.name)
        lines = [
            ("shape", shape_text(box.shape)),
            ("kind", tap.kind),
            ("stride", f"{tap.stride:g}"),
            ("MACs up to here", f"{tap.macs:,} ({100 * tap.depth:.0f} % of the network)"),
            ("state", "frozen" if box.frozen else "learned"),
        ]
        if not box.kept:
            lines[-1] = ("note", "reaches no answer: pruned away")
        return Facts(f"{lane.name}:{box.name}", tuple(lines))

    def head(self, box: HeadBox) -> Facts:
        """Of a head."""
        name = f"heads.{box.name}"
        read = [f"{self._name(place)}" for place in box.taps]
        read += [f"head {other}" for other in box.heads]
        shown = ", ".join(read[:6]) + (f" and {len(read) - 6} more" if len(read) > 6 else "")
        lines = [
            ("kind", "; ".join(box.words)),
            ("reads", shown),
            ("MACs", f"{self.macs[name]:,}"),
            ("weights", f"{self.weights[name]:,}"),
        ]
        main = " (the answer)" if box.answer else ""
        return Facts(f"head {box.name}{main}", tuple(lines))

    def _name(self, place: Place) -> str:
        lane = self.graph.lanes[place[0]]
        return f"{lane.name}:{lane.boxes[place[1]].name}"

    def tables(self) -> tuple[Table, ...]:
        """Everything that the map tells, as tables; those without rows are left out."""
        arrows: list[tuple[Arrow, Facts]] = [
            (one, self.arrow(number)) for number, one in enumerate(self.graph.arrows)
        ]
        taps = [self.tap(lane, box) for lane in self.graph.lanes for box in lane.boxes]
        told = (
            ("wire", "Wires", [facts for _, facts in arrows]),
            ("tap", "Taps of the networks", taps),
            ("head", "Heads", [self.head(box) for box in self.graph.heads]),
        )
        return tuple(_table(word, caption, facts) for word, caption, facts in told if facts)


def _table(word: str, caption: str, facts: list[Facts]) -> Table:
    names = tuple(dict.fromkeys(name for one in facts for name, _ in one.lines))
    rows = tuple((one.title, *(dict(one.lines).get(name, "") for name in names)) for one in facts)
    return Table(caption, (word, *names), rows)


def added_macs(composite: Composite) -> Counter[str]:
    """MACs an image of what the plan adds, by path, e.g. `adapters.a:layer1->b:layer1`."""
    run = measured(composite)
    found = Counter[str]()
    for node in run.order:
        if node.op == "call_module" and str(node.target).startswith(ADDED):
            found[".".join(str(node.target).split(".")[:2])] += run.macs[node.name]
    return found
