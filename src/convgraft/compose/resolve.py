"""Stage 2, resolve: every part that the plan adds, with its shapes. Still names and numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from convgraft.compose.check import Checked
from convgraft.layers import HEADS, JOINS, build_adapter
from convgraft.plan import Head, TapRef, Wire
from convgraft.plan.values import HEADS_OWNER

Shape = tuple[int, ...]


@dataclass(frozen=True)
class AdapterPart:
    """One adapter: its name below `adapters`, its kind, and the shapes it goes between."""

    name: str
    kind: str
    shape_in: Shape
    shape_out: Shape
    gated: bool

    def build(self) -> nn.Module:
        """The module, with fresh weights."""
        return build_adapter(self.kind, self.shape_in, self.shape_out, gated=self.gated)


@dataclass(frozen=True)
class JoinPart:
    """One join: its name below `joins`, its kind, the tap's shape and the shapes that arrive."""

    name: str
    kind: str
    own: Shape
    arriving: tuple[Shape, ...]
    zero: bool

    def build(self) -> nn.Module | None:
        """The module, with fresh weights; None for a join that is no layer."""
        build = JOINS[self.kind].build
        return build and build(self.own, self.arriving, self.zero)


@dataclass(frozen=True)
class HeadPart:
    """One head: its name below `heads` and the shapes it reads."""

    head: Head
    inputs: tuple[Shape, ...]

    def build(self) -> nn.Module:
        """The module, with fresh weights."""
        head = self.head
        build = HEADS[head.kind].build
        return build(self.inputs, head.classes or 0, head.hidden, head.dropout, head.fusion)


@dataclass(frozen=True, eq=False)
class Resolved:
    """A checked plan with all its parts; `adapters[w][i]` is for input i of wire w."""

    checked: Checked
    adapters: tuple[tuple[AdapterPart, ...], ...]
    joins: tuple[JoinPart, ...]
    heads: tuple[HeadPart, ...]


def resolve(checked: Checked) -> Resolved:
    """Work out the parts of a checked plan."""
    plan = checked.plan
    adapters = tuple(_adapters(checked, wire) for wire in plan.wires)
    joins = tuple(
        _join(checked, wire, parts) for wire, parts in zip(plan.wires, adapters, strict=True)
    )
    shapes: dict[str, Shape] = {}
    heads: list[HeadPart] = []
    for head in plan.heads:
        part = HeadPart(head, tuple(_head_input(checked, ref, shapes) for ref in head.inputs))
        shapes[head.name] = (head.classes,) if head.classes else part.inputs[0]
        heads.append(part)
    return Resolved(checked, adapters, joins, tuple(heads))


def _adapters(checked: Checked, wire: Wire) -> tuple[AdapterPart, ...]:
    kind = JOINS[wire.join]
    target = checked.tap(wire.target).shape
    parts = []
    for ref in wire.inputs:
        own = checked.tap(ref).shape
        keeps_channels = wire.adapter == "identity" and kind.any_channels
        shape = (own[0], *target[1:]) if keeps_channels else target
        gated = wire.start == "zero" and kind.gated_adapter
        parts.append(AdapterPart(wire.adapter_name(ref), wire.adapter, own, shape, gated))
    return tuple(parts)


def _join(checked: Checked, wire: Wire, adapters: Sequence[AdapterPart]) -> JoinPart:
    target = checked.tap(wire.target).shape
    name = "+".join(map(str, wire.inputs)) + f"->{wire.target}"
    arriving = tuple(part.shape_out for part in adapters)
    return JoinPart(name.replace(".", "/"), wire.join, target, arriving, wire.start == "zero")


def _head_input(checked: Checked, ref: TapRef, heads: dict[str, Shape]) -> Shape:
    return heads[ref.tap] if ref.source == HEADS_OWNER else checked.tap(ref).shape


def build_seeded(part: AdapterPart | JoinPart | HeadPart, seed: int, name: str) -> nn.Module | None:
    """A part's module; its weights depend on the seed and its name alone, not on other parts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_mix(seed, name))
        return part.build()


def _mix(seed: int, name: str) -> int:
    """A seed of its own for each name."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1
