"""A naive interpreter of plans: what a composite should answer, value by value, in plain PyTorch.

It is written from the words of the documentation (`docs/guide.md` and the docstrings of joins,
adapters and heads) and shares no code with `convgraft.compose` or `convgraft.layers`. A plan's
values are worked out on demand, so what no answer asks for is never computed. Numbers come from the
composite's state dict, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import interpreted_heads
import torch
import torch.nn.functional as F
from interpreted_layers import Weights, adapted, concatenated, gated
from random_networks import Step
from torch import Tensor

from convgraft.plan import Plan, TapRef, Wire

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Walk:
    """What the interpreter knows of a source.

    Attributes:
        steps: by tap name, in order.
        names: every name of a tap to the one in `steps`.
        shapes: (C, H, W) or (C,) of every tap.
        mean, std, size: its preprocessing.
    """

    steps: Mapping[str, Step]
    names: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    mean: Sequence[float]
    std: Sequence[float]
    size: int | None

    def prepared(self, image: Tensor) -> Tensor:
        """Images [N, 3, S, S] in [0, 1] as the source wants them."""
        if len(self.mean) == 1:
            luma = torch.tensor(LUMA).to(image)
            image = torch.einsum("nchw,c->nhw", image, luma)[:, None]
        if self.size and self.size != image.shape[-1]:
            image = F.interpolate(image, (self.size,) * 2, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(v).to(image)[:, None, None] for v in (self.mean, self.std))
        return (image - mean) / std


@dataclass
class Interpreter:
    """One run of a plan over one batch.

    Attributes:
        walks: the sources, by the names that the plan gives them.
        weights: the composite's numbers; afterwards they know which were read and what batch
            norms' statistics became.
        ran: (source, tap) of every step that ran.
    """

    plan: Plan
    walks: Mapping[str, Walk]
    weights: Weights
    image: Tensor
    ran: set[tuple[str, str]] = field(default_factory=set)
    _own: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    _heads: dict[str, Tensor] = field(default_factory=dict)

    def answers(self) -> dict[str, Tensor]:
        """The dict that the composite should give."""
        if not self.plan.heads:
            return {ref.name: self.joined(ref.name, "fc") for ref in self.plan.sources}
        return {head.name: self.head(head.name) for head in self.plan.heads}

    def own(self, source: str, tap: str) -> Tensor:
        """What a network computes at a tap, before anything is joined in there."""
        if (source, tap) not in self._own:
            self._own[source, tap] = self._computed(source, tap)
            self.ran.add((source, tap))
        return self._own[source, tap]

    def joined(self, source: str, tap: str) -> Tensor:
        """What the network goes on with at a tap."""
        wires = [wire for wire in self.plan.wires if self._place(wire.target) == (source, tap)]
        replaced = [number for number, wire in enumerate(wires) if wire.join == "replace"]
        if replaced:  # what it replaces is of no interest
            first, *wires = wires[replaced[-1] :]
            value = self._arriving(first, first.inputs[0], self.walks[source].shapes[tap])
        else:
            value = self.own(source, tap)
        for wire in wires:
            value = self._join(wire, value)
        return value

    def head(self, name: str) -> Tensor:
        """An answer."""
        if name not in self._heads:
            head = next(one for one in self.plan.heads if one.name == name)
            inputs = [self._head_input(ref) for ref in head.inputs]
            self._heads[name] = interpreted_heads.answer(head, inputs, self.weights)
        return self._heads[name]

    def _head_input(self, ref: TapRef) -> Tensor:
        return self.head(ref.tap) if ref.source == "heads" else self.joined(*self._place(ref))

    def _place(self, ref: TapRef) -> tuple[str, str]:
        return ref.source, self.walks[ref.source].names[ref.tap]

    def _join(self, wire: Wire, value: Tensor) -> Tensor:
        target = self.walks[wire.target.source].shapes[self._place(wire.target)[1]]
        arriving = [self._arriving(wire, ref, target) for ref in wire.inputs]
        name = "+".join(map(str, wire.inputs)) + f"->{wire.target}"
        joins = self.weights.at("joins." + name.replace(".", "/"))
        if wire.join == "add":
            return value + sum(arriving)
        if wire.join == "gate":
            return value + gated(joins["gate"], arriving[0] - value)
        return concatenated(joins, value, arriving, closed=wire.start == "zero")

    def _arriving(self, wire: Wire, ref: TapRef, target: tuple[int, ...]) -> Tensor:
        value = self.own(*self._place(ref))
        if wire.adapter == "identity" and wire.join == "concat":
            target = (value.shape[1], *target[1:])
        adapter = self.weights.at("adapters." + f"{ref}->{wire.target}".replace(".", "/"))
        value = adapted(wire.adapter, adapter, value, target)
        return gated(adapter["gate.scale"], value) if _is_gated(wire) else value

    def _computed(self, source: str, tap: str) -> Tensor:
        walk = self.walks[source]
        if tap == "input":
            return walk.prepared(self.image)
        step = walk.steps[tap]
        inputs = [self._read(source, name) for name in step.inputs]
        return computed(step, inputs, self.weights.at(f"sources.{source}"))

    def _read(self, source: str, tap: str) -> Tensor:
        if tap.startswith("raw:"):
            return self.own(source, tap.removeprefix("raw:"))
        return self.joined(source, tap)


def _is_gated(wire: Wire) -> bool:
    return wire.join == "add" and wire.start == "zero"


def computed(step: Step, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
    """One step of a network."""
    first, own = inputs[0], weights.at(step.weights)
    if step.does == "conv":
        stride, padding, groups = step.numbers
        return F.conv2d(first, own["weight"], own.get("bias"), stride, padding, 1, groups)
    if step.does == "norm":
        return own.standardised(first) * _wide(own["weight"]) + _wide(own["bias"])
    if step.does == "maximum":
        return F.max_pool2d(first, *step.numbers)
    plain = {
        "relu": lambda: first.clamp(min=0),
        "add": lambda: inputs[0] + inputs[1],
        "cat": lambda: torch.cat([*inputs], 1),
        "mean": lambda: first.mean((2, 3)),
        "mean map": lambda: first.mean((2, 3), keepdim=True),
        "flat": lambda: first.flatten(1),
        "same": lambda: first,
        "dense": lambda: first @ own["weight"].T + own["bias"],
    }
    return plain[step.does]()


def _wide(numbers: Tensor) -> Tensor:
    return numbers[:, None, None]
