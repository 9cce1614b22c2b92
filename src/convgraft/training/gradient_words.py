"""What an analysis of gradients says, as rows of a table and as plain words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from convgraft.plan import Plan
from convgraft.training.gradients import (
    ONLY_GOAL,
    PRUNED,
    UNREACHED,
    Reach,
    StageGradients,
    learning,
)
from convgraft.training.objective import Term


@dataclass(frozen=True)
class Row:
    """Parameters of one part to which the same happens for the same reason.

    Attributes:
        modules: which of the part's; empty: all that it has.
        rates: the shares of the learning rate, each once, rising.
    """

    part: str
    modules: tuple[str, ...]
    weights: int
    receives: bool
    changes: bool
    rates: tuple[float, ...]
    why: str
    gate: str = ""

    def __str__(self) -> str:
        """As `sources.a: conv1, layer1`."""
        return f"{self.part}: {', '.join(self.modules)}" if self.modules else self.part


def rows(reaches: Sequence[Reach]) -> list[Row]:
    """The parameters of each part, grouped, in order; layers may differ in their rate alone."""
    parts: dict[str, list[Reach]] = {}
    for reach in reaches:
        parts.setdefault(reach.part, []).append(reach)
    return [
        _row(group, members) for members in parts.values() for group in _groups(members).values()
    ]


def _groups(members: Sequence[Reach]) -> dict[tuple[object, ...], list[Reach]]:
    groups: dict[tuple[object, ...], list[Reach]] = {}
    for reach in members:
        reason = (reach.terms, reach.gate) if reach.changes else reach.why
        groups.setdefault((reach.receives, reach.changes, reason), []).append(reach)
    return groups


def _row(group: Sequence[Reach], members: Sequence[Reach]) -> Row:
    first, part = group[0], f"{group[0].part}."
    rates = sorted({reach.rate for reach in group})
    modules = _cover({r.name for r in group}, [r.name for r in members], part)
    return Row(
        part=first.part,
        modules=() if len(group) == len(members) else tuple(modules),
        weights=sum(reach.weights for reach in group),
        receives=first.receives,
        changes=first.changes,
        rates=tuple(rates),
        why=learning(rates, first.terms, first.gate) if first.changes else first.why,
        gate=first.gate,
    )


def _cover(chosen: Collection[str], names: Sequence[str], prefix: str) -> list[str]:
    """The fewest modules and parameters that hold the chosen of these names, and no other one.

    >>> _cover({"a.x.w", "a.y.v.w"}, ["a.x.w", "a.x.b", "a.y.v.w"], "a.")
    ['x.w', 'y']
    """
    children: dict[str, list[str]] = {}
    for name in names:
        children.setdefault(name[len(prefix) :].split(".")[0], []).append(name)
    found: list[str] = []
    for child, below in children.items():
        if all(name in chosen for name in below):
            found.append(child)
        elif any(name in chosen for name in below):
            found += [f"{child}.{rest}" for rest in _cover(chosen, below, f"{prefix}{child}.")]
    return found


_IDLE = {
    UNREACHED: "Cannot change, since no term of the loss depends on it",
    ONLY_GOAL: "Cannot change, since it is only compared with, and a goal gives no gradient",
    PRUNED: "Pruned, since no answer needs it",
}
_GATES = {
    "first": "Zero gradient at the first step, until the gate behind it has moved",
    "always": "Zero gradient throughout, because the gate behind it is zero and frozen",
}
_MOVING = "Running statistics of batch norms move although no weight learns there"


def in_words(plan: Plan, told: StageGradients) -> str:
    """What one stage compares and changes, what cannot change, and why; one sentence a line.

    Args:
        plan: the composite's.
    """
    found = rows(told.reaches)
    changed = [row for row in found if row.changes]
    sentences = [_comparison(plan, term) for term in told.stage.objective.terms]
    only = f"{_listed(changed)}; and no other weight" if changed else "no weight"
    sentences.append(f"This changes {only}.")
    for gate, said in _GATES.items():
        if behind := [row for row in changed if row.gate == gate]:
            sentences.append(f"{said}: {_listed(behind)}.")
    idle = [row for row in found if not row.changes]
    for why in sorted({row.why: 0 for row in idle}, key=PRUNED.__eq__):
        said = _IDLE.get(why, f"Would receive a gradient, but is {why}")
        sentences.append(f"{said}: {_listed([row for row in idle if row.why == why])}.")
    if still := told.moving_statistics:
        norms = (f"{len(paths)} in {part_in_words(part)}" for part, paths in still.items())
        sentences.append(f"{_MOVING}: {', '.join(norms)}.")
    return "\n".join(sentences)


def part_in_words(part: str) -> str:
    """`sources.a` as `source a`."""
    section, _, name = part.partition(".")
    return f"{section.removesuffix('s')} {name.replace('/', '.')}"


def _listed(found: Sequence[Row]) -> str:
    return "; ".join(
        f"{' of '.join(filter(None, [', '.join(row.modules), part_in_words(row.part)]))}"
        f" ({row.weights:,} weights)"
        for row in found
    )


def _comparison(plan: Plan, term: Term) -> str:
    first, *others = term.of
    of = f"the answers {', '.join(term.of)}" if others else _output(plan, first)
    said = f"{term.kind}({', '.join(term.of)})"
    if term.kind == "task":
        return f"{said} compares {of} with the labels."
    goal = _output(plan, term.to, arriving=False) if term.to else "their mean"
    return f"{said} compares {of} with {goal}."


def _output(plan: Plan, name: str, *, arriving: bool = True) -> str:
    """An answer by its name; a bare tap by what the network has there."""
    head = next((head for head in plan.heads if head.name == name), None)
    if head is None or head.kind != "tap":
        return f"the answer {name}"
    tap = head.inputs[0]
    is_joined = arriving and any(wire.target == tap for wire in plan.wires)
    return f"what arrives at {tap}" if is_joined else str(tap)
