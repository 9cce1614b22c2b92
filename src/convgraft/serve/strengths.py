"""How strongly each part of the fusion works on one picture: wires, branches, members, rungs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convgraft.compose import Composite
from convgraft.plan import Head
from convgraft.report.plan_kept import Kept
from convgraft.serve.head_strengths import measure_of
from convgraft.serve.schemas import Strength
from convgraft.serve.trace import Trace
from convgraft.studies.gates import wire_gates

ARRIVES = "share of what goes on there that came over the wire"
REPLACES = "it stands in place of what the network had there"


@dataclass(frozen=True)
class UsedWire:
    """A wire that an answer depends on.

    Attributes:
        names: of its inputs, as the fusion map names them.
        join: the name of its join in the composite.
        gate: how far it has opened, for every picture; None where it has no gate.
    """

    names: tuple[str, ...]
    join: str
    gate: float | None


def used_wires(composite: Composite) -> tuple[UsedWire, ...]:
    """The wires that an answer depends on; the same for every picture."""
    gates, kept = wire_gates(composite), Kept(composite.resolved).wires
    every = zip(composite.plan.wires, composite.resolved.joins, kept, strict=True)
    return tuple(
        UsedWire(
            tuple(f"{ref} → {wire.target}" for ref in wire.inputs), part.name, gates.get(str(wire))
        )
        for wire, part, used in every
        if used
    )


def strengths(composite: Composite, wires: Iterable[UsedWire], trace: Trace) -> list[Strength]:
    """Of every wire and of every head that the answer depends on.

    Numbers that a picture changes are this picture's; the others are as training left them.
    """
    plan = composite.plan
    found = [one for wire in wires for one in _wire(wire, trace)]
    for head in plan.keeping((plan.answer,)).heads:
        found += _head(composite, head, trace)
    return found


def _wire(wire: UsedWire, trace: Trace) -> Iterator[Strength]:
    shares = trace.shares.get(wire.join, [])
    told = "" if wire.gate is None else f"; its gate is {wire.gate:.4f} for every picture"
    for number, name in enumerate(wire.names):
        # an `add` joins its inputs one by one, a `concat` all of them together
        yield Strength(
            part="wire",
            name=name,
            strength=shares[min(number, len(shares) - 1)] if shares else 1.0,
            of_image=bool(shares),
            words=f"{ARRIVES}{told}" if shares else REPLACES,
        )


def _head(composite: Composite, head: Head, trace: Trace) -> list[Strength]:
    module, read = composite.get_submodule(f"heads.{head.name}"), trace.inputs[head.name]
    measure = measure_of(module) if len(read) > 1 else None
    if measure is None:
        return []
    return [
        Strength(
            part=measure.part,
            name=f"{ref} → {head.name}",
            strength=value,
            of_image=measure.of_image,
            words=measure.words,
        )
        for ref, value in zip(head.inputs, measure.values(module, read), strict=True)
    ]
